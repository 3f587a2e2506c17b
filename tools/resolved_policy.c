/* Theory of operation: errors of a configuration must be found before the command runs. socksify therefore reads the
 * policy itself, resolves the names of servers with libc, and passes the result to the command. No rule applies to
 * socksify's own look-ups, because nothing is preloaded into it. */
#include "resolved_policy.h"

#include "chains.h"
#include "errors.h"
#include "file.h"
#include "log_events.h"
#include "server.h"
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Resolves HOST and stores the addresses in SERVER. Returns 0, or an EAI_* code. */
static int resolve_host(const char *host, struct s5_server *server)
{
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(host, NULL, &hints, &list);
    if (error != 0)
        return error;
    unsigned n = s5_server_keep(server, list);
    freeaddrinfo(list);
    return n > 0 ? 0 : EAI_NONAME;
}

int resolved_policy_read(struct s5_policy *ret, const struct options *options, char *const *environ_strings,
                         struct s5_fault *ret_fault)
{
    static char *const none[] = {NULL};
    struct s5_source source = {.file = options->file};
    if (options->n_urls > 0)
        source.urls = (const char *const *)options->urls;
    s5_environment_read(&source.env, environ_strings ? environ_strings : none);
    if (options->isolate)
        source.env.isolate = options->isolate;
    int result = s5_source_load(ret, &source, ret_fault);
    ret->strict = options->strict;
    if (options->engine >= 0) { /* also for the programs that the file names */
        ret->engine = (uint8_t)options->engine;
        ret->n_programs = 0;
        ret->given |= S5_GIVEN_ENGINE;
    }
    return result;
}

int resolved_policy_resolve(struct s5_policy *policy, unsigned index)
{
    struct s5_server *server = &policy->servers[index];
    if (server->is_path || server->n_addrs > 0 || server->n_hops > 0)
        return 0;
    return resolve_host(s5_policy_text(policy, server->host), server);
}

/* Stores device and inode of the descriptor NUMBER for --log. They identify it, because programs close and reuse
 * descriptor numbers. Returns 0, or EXIT_OWN_ERROR after it prints what is wrong. */
static int set_log_fd(struct s5_policy *policy, const char *number)
{
    char *end;
    struct stat st;
    unsigned long fd = strtoul(number, &end, 10);
    if (*number < '0' || *number > '9' || *end || fd > 1 << 20 || fstat((int)fd, &st) < 0)
        return errors_fail(EXIT_OWN_ERROR, "--log: no such descriptor: %s", number);
    policy->log_dev = (uint64_t)st.st_dev;
    policy->log_ino = (uint64_t)st.st_ino;
    return 0;
}

static int set_log(struct s5_policy *policy, const char *where)
{
    char path[S5_FILE_PATH] = "";
    bool special = strcmp(where, S5_LOG_EVENTS_SYSLOG) == 0;
    if (strncmp(where, S5_LOG_EVENTS_FD, sizeof(S5_LOG_EVENTS_FD) - 1) == 0) {
        int code = set_log_fd(policy, where + sizeof(S5_LOG_EVENTS_FD) - 1);
        if (code != 0)
            return code;
        special = true;
    }
    policy->log_file = 0;
    if (strcmp(where, "stderr") == 0)
        return 0;
    if (!special && *where != '/') {
        if (!getcwd(path, sizeof(path) / 2) || strlen(where) > sizeof(path) / 2 - 2)
            return errors_fail(EXIT_OWN_ERROR, "--log: %s: %s", where, strerror(errno));
        strcat(path, "/");
    }
    strcat(path, where);
    int64_t text = s5_policy_add_text(policy, path, strlen(path));
    if (text < 0)
        return errors_fail(EXIT_OWN_ERROR, "--log: too long");
    policy->log_file = (uint32_t)text;
    return 0;
}

static bool has_address(const struct s5_server *server)
{
    return server->n_addrs > 0 || server->is_path;
}

/* Returns true if a connection through ENTRY begins at a server with an address. */
static bool can_begin(const struct s5_policy *p, const struct s5_server *entry)
{
    bool can = entry->n_hops == 0 && has_address(entry);
    for (unsigned i = 0; i < s5_policy_first_hops(entry); i++)
        can |= has_address(&p->servers[p->vias[entry->hops_first + i]]);
    return can;
}

/* Returns true if this machine connects to SERVER for a rule that has no other server with an address. */
static bool is_needed(const struct s5_policy *p, unsigned server)
{
    for (uint32_t i = 0; i < p->n_rules; i++) {
        const struct s5_rule *rule = &p->rules[i];
        bool found = false, other = false;
        for (unsigned n = 0; n < rule->via_count; n++) {
            unsigned via = p->vias[rule->via_first + n];
            found |= s5_policy_can_begin_with(p, via, server);
            other |= can_begin(p, &p->servers[via]);
        }
        if (found && !other)
            return true;
    }
    return false;
}

int resolved_policy_resolve_all(struct s5_policy *p, int code)
{
    int errors[S5_POLICY_SERVERS] = {0};
    struct s5_fault fault;
    for (unsigned i = 0; i < p->n_servers; i++)
        errors[i] = s5_policy_connects_to(p, i) ? resolved_policy_resolve(p, i) : 0;
    for (unsigned i = 0; i < p->n_servers; i++)
        if (errors[i] != 0 && is_needed(p, i))
            return errors_fail(code, "%s: cannot resolve server %s: %s", s5_policy_text(p, p->source),
                               s5_policy_text(p, p->servers[i].host), gai_strerror(errors[i]));
    for (unsigned i = 0; i < p->n_servers; i++)
        if (errors[i] != 0) /* the command runs nevertheless */
            errors_fail(0, "%s: cannot resolve server %s: %s", s5_policy_text(p, p->source),
                        s5_policy_text(p, p->servers[i].host), gai_strerror(errors[i]));
    s5_chains_complete(p, &fault); /* they have the addresses now */
    return 0;
}

int resolved_policy_load(struct s5_policy *ret, const struct options *options, char *const *environ_strings)
{
    struct s5_fault fault = {""};
    if (resolved_policy_read(ret, options, environ_strings, &fault) < 0)
        return errors_fail(EXIT_OWN_ERROR, "%s", fault.text);
    uint8_t level = options->verbosity == 0 ? S5_LOG_NONE : options->verbosity == 1 ? S5_LOG_INFO : S5_LOG_DEBUG;
    if (ret->log_level < level)
        ret->log_level = level;
    ret->given_level = level;
    ret->log_json |= options->log_json;
    ret->log_counts = options->summary;
    ret->given |= (options->log_json ? S5_GIVEN_JSON : 0u) | (options->log ? S5_GIVEN_LOG : 0u);
    int code = options->log ? set_log(ret, options->log) : 0;
    if (code != 0)
        return code;
    return resolved_policy_resolve_all(ret, EXIT_OWN_ERROR);
}

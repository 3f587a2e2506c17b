/* Theory of operation: reads the configuration as for running a command, but reports an error in it as a finding. Then
 * checks the program, and each server that a rule uses. */
#include "check.h"
#include "check_fence.h"
#include "check_namespace.h"
#include "check_rules.h"
#include "check_server.h"

#include "coverage.h"
#include "errors.h"
#include "isolation.h"
#include "resolved_policy.h"
#include "source.h"
#include <elf.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- The program ---- */

/* Returns the text for the ELF class of the file PATH, ", 64-bit ELF file", or "" if it is not an ELF file. */
static const char *get_elf_class(const char *path)
{
    unsigned char head[EI_NIDENT] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, head, sizeof(head)) : -1;
    if (fd >= 0)
        close(fd);
    if (n != sizeof(head) || memcmp(head, ELFMAG, SELFMAG) != 0)
        return "";
    return head[EI_CLASS] == ELFCLASS64 ? ", 64-bit ELF file" : ", 32-bit ELF file";
}

/* Reports a program that exists. RESULT: of coverage_of_command(), for the file that it FOUND. APART: it would run in a
 * namespace. */
static void report_coverage(struct report *report, int result, const struct s5_program_report *found, bool apart)
{
    const char *class = get_elf_class(found->path);
    const char *detail = result > 0 ? found->detail : "dynamically linked against this C library";
    if (apart && !check_namespace_try())
        report_row(report, "covered", FINDING_OK, NULL, "%s%s, %s: by a network namespace", found->path, class, detail);
    else if (result > 0)
        report_row(report, "covered", FINDING_FAIL, s5_program_hint(found->coverage), "%s%s: %s", found->path, class,
                   detail);
    else if (apart)
        report_row(report, "covered", FINDING_FAIL, "see NAMESPACES in socksify(1)",
                   "%s%s: it is to run in a network namespace, and none can be made", found->path, class);
    else
        report_row(report, "covered", FINDING_OK, NULL, "%s%s, %s: by the preload object", found->path, class, detail);
}

static void check_program(struct report *report, const struct s5_policy *policy, const char *command)
{
    static struct s5_program_report found;
    const char *file;
    int result = coverage_of_command(command, &found, &file);
    report_group(report, "program", command);
    if (result < 0) {
        report_row(report, "covered", FINDING_FAIL, "not found, or not executable", "%s: %s", found.path,
                   strerror(-result));
        return;
    }
    enum s5_engine_choice engine = policy->strict ? S5_ENGINE_NAMESPACE : s5_policy_engine(policy, file);
    bool needed = result > 0 && s5_program_is_reachable(found.coverage);
    report_coverage(report, result, &found, engine == S5_ENGINE_NAMESPACE || (engine == S5_ENGINE_AUTO && needed));
}

/* ---- The servers ---- */

/* Gives an isolated server credentials that are made for this check. */
static void make_credentials(struct s5_server *server)
{
    struct s5_identity identity;
    struct s5_isolation_words words;
    if (!server->isolate || getrandom(&identity, sizeof(identity), 0) != sizeof(identity))
        return;
    s5_isolation_words(&words, server, &identity);
    memcpy(server->username, words.username, words.username_len);
    memcpy(server->password, words.password, words.password_len);
    server->username_len = words.username_len;
    server->password_len = words.password_len;
}

/* Parses TEXT, "HOST:PORT", into RET. Returns false if it is not valid. */
static bool parse_target(struct s5_addr *ret, const char *text)
{
    const char *colon = strrchr(text, ':');
    char *end;
    if (!colon || colon[1] < '0' || colon[1] > '9')
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    return *end == '\0' && port >= 1 && port <= 65535 &&
           s5_addr_parse(ret, text, (size_t)(colon - text), (uint16_t)port) == 0;
}

static void check_one_server(struct report *report, struct s5_policy *policy, unsigned index,
                             const struct s5_addr *target)
{
    struct check c = {.report = report, .policy = policy, .server = &policy->servers[index]};
    char title[600];
    const char *host = s5_policy_text(policy, c.server->host);
    snprintf(title, sizeof(title), c.server->is_path ? "\"%s\" at %s" : "\"%s\" at %s port %u",
             s5_policy_text(policy, c.server->name), host, (unsigned)c.server->port);
    report_group(report, "server", title);
    report->spare = check_rules_is_spare(policy, index);
    check_rules_known(report, policy, index);
    make_credentials(&policy->servers[index]);
    int error = resolved_policy_resolve(policy, index);
    if (error != 0) {
        report_row(report, "address", FINDING_FAIL, "check the spelling, and this machine's DNS servers",
                   "%s cannot be resolved: %s", host, gai_strerror(error));
        return;
    }
    if (target) {
        c.target = *target;
        c.own_target = true;
    }
    check_server(&c);
}

static void check_servers(struct report *report, struct s5_policy *policy, const struct s5_addr *target)
{
    bool any = false, works[S5_POLICY_SERVERS] = {false};
    for (unsigned i = 0; i < policy->n_servers; i++) {
        bool here = s5_policy_connects_to(policy, i) && policy->servers[i].n_hops == 0;
        if (here && check_rules_first(policy, i) == i) {
            check_one_server(report, policy, i, target);
            works[i] = !report->bad;
            any = true;
        }
    }
    check_rules_chains(report, policy, works);
    check_rules(report, policy, works);
    if (!any) {
        report_group(report, "server", "none");
        report_row(report, "address", FINDING_FAIL, "add a rule with via = \"...\"", "no rule selects a server");
    }
}

int check(const struct options *options, char *const *environ_strings)
{
    static struct s5_policy policy;
    struct s5_addr target;
    struct report report;
    struct s5_fault fault = {""};
    if (options->target && !parse_target(&target, options->target))
        return errors_fail(EXIT_OWN_ERROR, "--target: not HOST:PORT: %s", options->target);
    report_begin(&report, options->json);
    report_group(&report, "configuration", options->file ? options->file : options->n_urls > 0 ? "of -x" : "as found");
    int error = resolved_policy_read(&policy, options, environ_strings, &fault);
    if (error < 0) {
        report_row(&report, "syntax", FINDING_FAIL,
                   "see socks5.conf(5); all network access is refused until the error is fixed", "%s", fault.text);
        report_end(&report);
        return EXIT_OWN_ERROR;
    }
    report_row(&report, "syntax", FINDING_OK, NULL, "%s: %u servers, %u rules", s5_policy_text(&policy, policy.source),
               policy.n_servers, policy.n_rules);
    if (options->command)
        check_program(&report, &policy, options->command[0]);
    check_fence(&report);
    check_namespace(&report);
    check_servers(&report, &policy, options->target ? &target : NULL);
    explicit_bzero(policy.servers, sizeof(policy.servers));
    return report_end(&report);
}

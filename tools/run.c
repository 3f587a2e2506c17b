/* Theory of operation
 *
 * The command replaces this process, so that its process ID, terminal, descriptors and exit status are the same as
 * without socksify. The environment has all that it needs:
 *
 *   LD_PRELOAD     the preload object, before the previous value
 *   SOCKS5_CONF    with -c: the absolute path of the file
 *   SOCKS5_SERVER  if the policy comes from a URL: that URL without its password
 *   SOCKS5_STATE   the shared memory of the process tree; the second descriptor has the policy, passwords included
 *
 * ALL_PROXY is removed if it names a SOCKS5 server: a program that knows the variable would speak SOCKS5 to the server
 * itself, through the server.
 *
 * Nothing runs uncovered: if the preload object is missing, or if the program would not load it, socksify ends with an
 * error. */
#include "run.h"

#include "bridge.h"
#include "bridge/url_argument.h"
#include "coverage.h"
#include "errors.h"
#include "fencing.h"
#include "known_servers.h"
#include "parts.h"
#include "reach_command.h"
#include "resolved_policy.h"
#include "server_cache.h"
#include "shm.h"
#include "source.h"
#include "summary.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- The preload object ---- */

static int find_object(char *ret, size_t size, bool trusted)
{
    const char *given = trusted ? getenv("SOCKSIFY_PRELOAD") : NULL;
    if (given && *given)
        snprintf(ret, size, "%s", given);
    else
        parts_find_in_build(ret, size, "/preload/libsocksify.so");
    if (*ret == '\0')
        snprintf(ret, size, "%s", PRELOAD_PATH);
    if (access(ret, R_OK) < 0)
        return errors_fail(EXIT_OWN_ERROR, "preload object %s: %s", ret, strerror(errno));
    if (*ret != '/')
        return errors_fail(EXIT_OWN_ERROR, "preload object %s: not an absolute path", ret);
    if (strpbrk(ret, ": \t\n"))
        return errors_fail(EXIT_OWN_ERROR, "preload object %s: a colon or space in its path", ret);
    if (strcmp(ret, PRELOAD_PATH) == 0)
        snprintf(ret, size, "%s", PRELOAD_NAME); /* the loader finds the one for each architecture */
    return 0;
}

/* ---- The environment ---- */

static int set_variable(const char *name, const char *value)
{
    if (setenv(name, value, 1) < 0)
        return errors_fail(EXIT_OWN_ERROR, "%s: %s", name, strerror(errno));
    return 0;
}

/* Stores the value of LD_PRELOAD for the command in the variable NAME. */
static int set_preload(const char *name, const char *object)
{
    const char *old = getenv("LD_PRELOAD");
    size_t len = strlen(object);
    if (!old || !*old)
        return set_variable(name, object);
    if (strncmp(old, object, len) == 0 && (old[len] == '\0' || strchr(": ", old[len])))
        return set_variable(name, old); /* socksify runs socksify */
    char *both;
    if (asprintf(&both, "%s:%s", object, old) < 0)
        return errors_fail(EXIT_OWN_ERROR, "%s", strerror(ENOMEM));
    int result = set_variable(name, both);
    free(both);
    return result;
}

static int set_file(const char *file)
{
    if (*file == '/')
        return set_variable("SOCKS5_CONF", file);
    char *directory = getcwd(NULL, 0), *path = NULL;
    if (!directory || asprintf(&path, "%s/%s", directory, file) < 0) {
        free(directory);
        return errors_fail(EXIT_OWN_ERROR, "%s: %s", file, strerror(errno));
    }
    int result = set_variable("SOCKS5_CONF", path);
    free(path);
    free(directory);
    return result;
}

static void drop_socks_proxy(const char *name)
{
    const char *value = getenv(name);
    if (value && (strncasecmp(value, "socks5:", 7) == 0 || strncasecmp(value, "socks5h:", 8) == 0))
        unsetenv(name);
}

/* Sets SOCKS5_SERVER to the N strings of URLS, separated by blanks, without passwords. */
static int set_urls(const char *const *urls, size_t n)
{
    size_t size = 1;
    for (size_t i = 0; i < n; i++)
        size += strlen(urls[i]) + 1;
    char *all = calloc(1, size), *end = all;
    if (!all)
        return errors_fail(EXIT_OWN_ERROR, "%s", strerror(ENOMEM));
    for (size_t i = 0; i < n; i++)
        end = stpcpy(stpcpy(end, i > 0 ? " " : ""), urls[i]);
    url_argument_strip(all);
    unsetenv("SOCKS_SERVER");
    int result = set_variable("SOCKS5_SERVER", all);
    explicit_bzero(all, size);
    free(all);
    return result;
}

/* Names the source of the policy in the environment, in the order of s5_source_load(). */
static int set_source(const struct options *options)
{
    struct s5_environment env;
    s5_environment_read(&env, environ);
    const char *url = env.socks5_server ? env.socks5_server : env.socks_server ? env.socks_server : env.all_proxy;
    int result = 0;
    if (options->n_urls > 0) {
        unsetenv("SOCKS5_CONF");
        result = set_urls((const char *const *)options->urls, options->n_urls);
        for (unsigned i = 0; i < options->n_urls; i++)
            url_argument_strip(options->urls[i]);
    } else if (options->file || env.socks5_conf) {
        result = set_file(options->file ? options->file : env.socks5_conf);
    } else if (url) {
        result = set_urls(&url, 1);
    }
    if (result == 0 && options->isolate)
        result = set_variable("SOCKS5_ISOLATE", options->isolate);
    drop_socks_proxy("ALL_PROXY");
    drop_socks_proxy("all_proxy");
    return result;
}

/* ---- Shared memory ---- */

/* Starts the bridge before its first use, if there is a server that needs one. If it does not start, the connections of
 * the command try again and report the error. */
static void start_bridge(struct s5_shm *shm, const struct s5_policy *policy, int fd)
{
    struct s5_bridge_start how = {shm, fd, parts_bridge(), environ, 2, 0};
    bool needed = false;
    for (size_t i = 0; i < policy->n_servers; i++)
        needed = needed || s5_bridge_fronts(&policy->servers[i]);
    if (!needed)
        return;
    s5_bridge_ensure(&how);
}

/* Creates the shared memory for the process tree of the command, stores POLICY in it, and names it in the environment.
 * The environment must be that of the command already, because it identifies the policy. Stores the shared state in
 * RET and its descriptor in RET_FD. Returns 0, or EXIT_OWN_ERROR after it prints what is wrong. */
static int create_shm(const struct s5_policy *policy, bool trusted, struct s5_shm **ret, int *ret_fd)
{
    struct s5_shm *shm;
    struct s5_shm_location place;
    char value[S5_SHM_VALUE_MAX];
    int error = s5_shm_create(&shm, &place);
    if (error == 0 && place.fd < 0)
        error = -ENOSYS;
    if (error < 0)
        return errors_fail(EXIT_OWN_ERROR, "shared memory: %s", strerror(-error));
    struct s5_environment env;
    s5_environment_read(&env, environ);
    char directory[S5_SERVER_CACHE_PATH], cache_path[S5_SERVER_CACHE_PATH] = "";
    if (trusted && known_servers_directory(directory, sizeof(directory)))
        s5_server_cache_open(shm->server_cache, directory, cache_path);
    s5_shm_publish(shm, place.fd, policy, s5_source_fingerprint(&env), cache_path);
    start_bridge(shm, policy, place.fd);
    s5_shm_value(&place, value);
    *ret = shm;
    *ret_fd = place.fd;
    return set_variable(S5_SHM_VARIABLE, value);
}

/* ---- The command ---- */

/* Finds the program and decides which engine runs it. Stores the words that are to be executed in RET. */
static int plan_command(const struct options *options, const struct s5_policy *policy, char ***ret)
{
    static struct s5_program_report report;
    const char *file, *name = options->command[0];
    int result = coverage_of_command(name, &report, &file);
    *ret = options->command;
    if (result < 0)
        return errors_fail(result == -ENOENT || result == -ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_RUN, "%s: %s", name,
                           strerror(-result));
    enum s5_engine_choice engine = policy->strict ? S5_ENGINE_NAMESPACE : s5_policy_engine(policy, file);
    if (engine == S5_ENGINE_PRELOAD || (engine == S5_ENGINE_AUTO && !s5_program_is_reachable(report.coverage))) {
        if (result > 0 && !s5_program_is_limited(report.coverage))
            return errors_fail(EXIT_NOT_RUN, "%s cannot be covered: %s: %s; %s", name, report.path, report.detail,
                               s5_program_hint(report.coverage));
        return 0;
    }
    if (engine == S5_ENGINE_AUTO && result == 0)
        return 0;
    *ret = reach_command_make(policy, parts_reach(), file, options->command);
    return *ret ? 0 : errors_fail(EXIT_OWN_ERROR, "%s", strerror(ENOMEM));
}

int run(const struct options *options, const struct s5_policy *policy, bool trusted)
{
    char object[PATH_MAX], **words;
    struct s5_shm *shm = NULL;
    struct fencing fence;
    int shm_fd = -1;
    int code = find_object(object, sizeof(object), trusted);
    if (code == 0)
        code = plan_command(options, policy, &words);
    if (code != 0)
        return code;
    bool apart = words != options->command;
    code = set_preload(apart ? S5_NAMESPACES_PRELOAD : "LD_PRELOAD", object);
    if (apart)
        unsetenv("LD_PRELOAD");
    if (code == 0)
        code = set_source(options);
    if (code == 0)
        code = create_shm(policy, trusted, &shm, &shm_fd);
    if (code != 0)
        return code;
    struct fencing_programs programs = {parts_bridge(), parts_gateway()};
    fencing_prepare(&fence, options, policy, shm, shm_fd, apart ? NULL : &programs);
    if (options->summary)
        return summary_run(words, shm, &fence);
    code = fencing_install(&fence);
    if (code != 0)
        return code;
    execvp(words[0], words);
    return errors_fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN, "%s: %s", words[0], strerror(errno));
}

/* Theory of operation
 *
 * This program starts a command that the preload object cannot cover: it makes the namespaces, hands their sockets to
 * a gateway, and executes the command in its own place, so that the command keeps process ID, session, terminal and
 * exit status.
 *
 *   1  outside: a gateway of this tree and user is asked for its namespaces; if there is one, they are joined
 *   2  else a gateway is started. Within the fence the companion does that, after step 3
 *   3  user and network namespace; the agent is started in them
 *   4  mount namespace; addresses, routes, rules; the sockets of the gateway
 *   5  the sockets go to the gateway, whose reply says that it serves them
 *   6  inherited sockets are replaced, a filter is installed, rights are given up; exec
 *
 * Whatever fails, nothing is started: there is no way for the command but this one.
 *
 * The program is not covered itself. Who starts it passes LD_PRELOAD as SOCKS5_PRELOAD, and the command gets it
 * back. */
#include "agent.h"
#include "arguments.h"
#include "errors.h"
#include "inner_sockets.h"
#include "kernel_parts.h"
#include "keyed.h"
#include "launch.h"
#include "leaving.h"
#include "namespace.h"
#include "namespaces.h"
#include "program.h"
#include "routes.h"
#include "rules.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct arguments arguments;
static struct s5_shm *shm;
static int shm_fd = -1;

static int report_problem(const struct namespace_problem *why)
{
    const char *advice = namespace_advice(why);
    return errors_fail(EXIT_OWN_ERROR, "no namespace: %s: %s%s%s", why->step, strerror(why->error), *advice ? ": " : "",
                       advice);
}

static int report_error(const char *step, int error)
{
    struct namespace_problem why = {step, -error};
    return report_problem(&why);
}

/* Tells the gateway where log lines of the command go. */
static void describe_command(struct handover *h)
{
    struct stat st;
    h->pid = getpid();
    if (fstat(STDERR_FILENO, &st) == 0) {
        h->stderr_dev = (uint64_t)st.st_dev;
        h->stderr_ino = (uint64_t)st.st_ino;
    }
}

/* ---- A new namespace ---- */

/* Every port may be bound, and echo requests may be sent: they are answered by an error. */
static void set_kernel_settings(void)
{
    char range[32];
    snprintf(range, sizeof(range), "%u %u", (unsigned)getegid(), (unsigned)getegid());
    const char *const settings[][2] = {{"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
                                       {"/proc/sys/net/ipv4/ping_group_range", range}};
    struct namespace_problem ignored;
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
        namespace_write(settings[i][0], settings[i][1], &ignored);
}

/* Fills the network namespace that this process is in. */
static int fill_namespace(struct handover *h)
{
    struct rules_options rules = {.loopback = h->flags & HANDOVER_LOOPBACK_OUT};
    const char *what;
    int result = routes_install(&rules.ipv6);
    if (result < 0)
        return report_error("routes", result);
    set_kernel_settings();
    result = rules_install(&rules);
    if (result < 0)
        return report_error("nftables", result);
    result = inner_sockets_create(h, rules.ipv6);
    if (result < 0)
        return report_error("sockets", result);
    result = kernel_parts_check(h, &what);
    if (result < 0)
        return report_error(what, result);
    h->cookie = s5_namespaces_own_cookie();
    return h->cookie ? 0 : report_error("SO_NETNS_COOKIE", -ENOPROTOOPT);
}

static int open_namespaces(struct handover *h, bool user)
{
    h->fds[HANDOVER_NETNS] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (user)
        h->fds[HANDOVER_USERNS] = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    if (h->fds[HANDOVER_NETNS] < 0 || (user && h->fds[HANDOVER_USERNS] < 0))
        return report_error("/proc/self/ns", -errno);
    return 0;
}

static int mount_own(struct handover *h, bool user)
{
    struct namespace_problem why;
    struct namespace_mounts how = {user, arguments.hide_dbus};
    h->fds[HANDOVER_MARKER_FD] = namespace_mount(&how, &why);
    return h->fds[HANDOVER_MARKER_FD] < 0 ? report_problem(&why) : 0;
}

/* Makes everything in the new namespaces, and hands it to the gateway on CHANNEL, or of the companion if that is -1. */
static int equip_namespace(int channel, struct handover *h, bool user)
{
    struct handover reply;
    int result = 0;
    if (h->flags & HANDOVER_LOOPBACK_IN)
        h->fds[HANDOVER_AGENT] = agent_start();
    if (h->flags & HANDOVER_LOOPBACK_IN && h->fds[HANDOVER_AGENT] < 0)
        return report_error("agent", h->fds[HANDOVER_AGENT]);
    result = open_namespaces(h, user);
    if (result == 0)
        result = mount_own(h, user);
    if (result == 0)
        result = fill_namespace(h);
    if (result != 0)
        return result;
    s5_namespaces_add(&shm->namespaces, h->cookie);
    result = launch_request(channel, h, &reply);
    return result < 0 ? report_error("gateway", result) : 0;
}

static int create_namespace(bool *ret_user)
{
    struct namespace_problem why;
    struct handover h;
    bool fenced = s5_fence() == S5_FENCE_WATCHED;
    int channel = fenced ? -1 : launch_gateway(arguments.gateway);
    if (!fenced && channel < 0)
        return report_error(arguments.gateway, channel);
    if (!namespace_create(ret_user, &why)) {
        close(channel);
        return report_problem(&why);
    }
    if (fenced)
        channel = launch_gateway_by_companion();
    if (channel < 0)
        return report_error("companion", channel);
    handover_clear(&h, HANDOVER_BEGIN);
    h.flags = arguments.flags;
    describe_command(&h);
    h.fds[HANDOVER_SHM] = fcntl(shm_fd, F_DUPFD_CLOEXEC, 0);
    h.fds[HANDOVER_POLICY] = fcntl(shm_fd + 1, F_DUPFD_CLOEXEC, 0);
    int result = equip_namespace(channel, &h, *ret_user);
    handover_close(&h);
    close(channel);
    return result;
}

/* ---- A namespace of the tree ---- */

/* Joins the namespaces of the gateway on CHANNEL. Returns 0, an exit code, or -1: the gateway is about to end. */
static int join_namespace(int channel, bool *ret_user)
{
    struct namespace_problem why;
    struct handover h, reply;
    handover_clear(&h, HANDOVER_JOIN);
    int result = launch_request(channel, &h, &reply);
    if (result < 0)
        return -1;
    *ret_user = reply.fds[HANDOVER_USERNS] >= 0;
    bool joined = namespace_join(reply.fds[HANDOVER_USERNS], reply.fds[HANDOVER_NETNS], &why);
    handover_close(&reply);
    if (!joined) /* nothing was joined: a sandbox may allow a new namespace only */
        return why.step == namespace_join_step ? -1 : report_problem(&why);
    handover_clear(&h, HANDOVER_MARKER);
    describe_command(&h);
    result = mount_own(&h, *ret_user);
    if (result == 0)
        result = launch_request(channel, &h, &reply);
    handover_close(&h);
    return result < 0 ? report_error("gateway", result) : result;
}

static int enter_namespace(bool *ret_user)
{
    if (s5_fence() == S5_FENCE_SILENT)
        return errors_fail(EXIT_OWN_ERROR, "no namespace: within the fence it needs the companion");
    launch_lock(shm_fd);
    int channel = launch_connect(shm), result = -1;
    if (channel >= 0) {
        result = join_namespace(channel, ret_user);
        close(channel);
    }
    if (result == -1)
        result = create_namespace(ret_user);
    launch_unlock(shm_fd);
    return result;
}

/* ---- The command ---- */

static void report_socket(int fd, const char *what)
{
    errors_fail(0, "descriptor %d, %s of the network outside, is replaced by /dev/null", fd, what);
}

static int leave_outside(bool user)
{
    struct namespace_problem why;
    bool strict = arguments.flags & HANDOVER_STRICT;
    int result = leaving_close_sockets(strict, report_socket);
    if (result < 0)
        return report_error("/proc/self/fd", result);
    if (s5_fence() == S5_FENCE_NONE) {
        result = leaving_install_filter(strict);
        if (result < 0)
            return report_error("seccomp", result);
    }
    return namespace_drop_rights(user, &why) ? 0 : report_problem(&why);
}

static int plain_openat(int dir, const char *path, int flags, ...)
{
    return openat(dir, path, flags); /* nothing is created */
}

/* Whether the loader of the command can load the first object of PRELOAD. Another C library's would end the command,
 * and this one's would complain. */
static bool can_preload(const char *preload)
{
    static const struct s5_program_calls calls = {plain_openat, pread, fstatat, close, fgetxattr, faccessat};
    struct s5_program_place here = {.dir = AT_FDCWD};
    struct s5_program_report report;
    char object[PATH_MAX];
    snprintf(object, sizeof(object), "%.*s", (int)strcspn(preload, ": "), preload);
    if (object[0] == '/' && !strchr(object, '$')) /* the loader replaces $LIB */
        here.object = object;
    s5_program_check(&calls, &here, AT_FDCWD, arguments.file, &report);
    return report.coverage != S5_UNCOVERED_LIBC && report.coverage != S5_UNCOVERED_ABI &&
           report.coverage != S5_UNCOVERED_OBJECT;
}

/* The command's environment. A command that is not trusted does not get the shared state, which has the passwords. */
static int restore_environment(void)
{
    const char *preload = getenv(S5_NAMESPACES_PRELOAD);
    if (arguments.flags & HANDOVER_STRICT) {
        unsetenv(S5_SHM_VARIABLE);
        unsetenv("SOCKS5_USER");
        unsetenv("SOCKS5_PASSWD");
        for (int i = 0; i < S5_SHM_FDS; i++)
            close(shm_fd + i);
    } else if (preload && can_preload(preload) && setenv("LD_PRELOAD", preload, 1) < 0)
        return report_error("environment", -errno);
    unsetenv(S5_NAMESPACES_PRELOAD);
    return 0;
}

static int attach_state(void)
{
    struct s5_shm_location at;
    const char *value = getenv(S5_SHM_VARIABLE);
    int result = value ? s5_shm_attach(value, &shm, &at) : -ENOENT;
    if (result < 0)
        return errors_fail(EXIT_OWN_ERROR, "no namespace: the shared state of socksify is missing");
    shm_fd = at.fd;
    return 0;
}

/* Makes namespaces as for a command, and ends with them. */
static int try_namespace(void)
{
    struct namespace_problem why;
    struct handover h;
    bool user;
    handover_clear(&h, HANDOVER_BEGIN);
    if (!namespace_create(&user, &why))
        return report_problem(&why);
    int result = mount_own(&h, user);
    return result == 0 ? fill_namespace(&h) : result;
}

int main(int argc, char **argv)
{
    bool user = false;
    int code = arguments_parse(&arguments, argc, argv);
    if (code == 0 && arguments.attempt)
        return try_namespace();
    if (code == 0)
        code = attach_state();
    if (code == 0 && !s5_namespaces_are_here(&shm->namespaces)) {
        code = enter_namespace(&user);
        if (code == 0)
            code = leave_outside(user);
    }
    if (code == 0)
        code = restore_environment();
    if (code != 0)
        return code;
    execv(arguments.file, arguments.command);
    return errors_fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN, "%s: %s", arguments.file, strerror(errno));
}

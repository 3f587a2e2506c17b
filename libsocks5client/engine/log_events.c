/* Writes log lines and counts events. Nothing here runs unless a line is due or statistics are kept. Lines are
 * written by direct system calls (a hook of syscall() passes through calls that it does not know). Messages to
 * syslog are sent to its socket without libc's syslog(), which allocates memory and takes locks.
 *
 * A negotiation does not store the rule that decided. A log line finds the rule again, for the same flow by the same
 * policy. */
#include "log_events.h"
#include "clock.h"
#include "error.h"
#include "event.h"
#include "in_engine.h"
#include "negotiation_bounds.h"
#include "reply.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- Destinations ---- */

static bool write_file(const char *path, const char *line, size_t len)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                          0600);
    if (fd < 0)
        return false;
    s5_in_engine_write(fd, line, len);
    syscall(SYS_close, fd);
    return true;
}

/* The program may have closed the descriptor and opened a file of its own under that number, so it is checked first. */
static bool write_fd(const struct s5_policy *p, const char *number, const char *line, size_t len)
{
    int fd = 0;
    struct stat st;
    for (; *number >= '0' && *number <= '9' && fd < 1 << 20; number++)
        fd = fd * 10 + (*number - '0');
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_dev != p->log_dev || (uint64_t)st.st_ino != p->log_ino)
        return false;
    s5_in_engine_write(fd, line, len);
    return true;
}

/* Returns the RFC 3164 priority of LINE: facility "user", severity by its log level. */
static int parse_priority(const char *line, size_t len)
{
    const char *before = line[0] == '{' ? "\"level\":\"" : "]: ";
    size_t skip = strlen(before), at = 0;
    while (at + skip < len && memcmp(line + at, before, skip) != 0)
        at++;
    char first = at + skip < len ? line[at + skip] : 'e';
    return 8 + (first == 'w' ? 4 : first == 'i' ? 6 : first == 'd' ? 7 : 3);
}

size_t s5_log_events_syslog_head(char ret[static S5_LOG_EVENTS_HEAD], const char *line, size_t len)
{
    return s5_format(ret, S5_LOG_EVENTS_HEAD, "<%d>%s", parse_priority(line, len), line[0] == '{' ? "socksify: " : "");
}

static bool write_syslog(struct s5_engine *e, const char *line, size_t len)
{
    char head[S5_LOG_EVENTS_HEAD];
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    int fd = e->real->socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    size_t n = s5_log_events_syslog_head(head, line, len);
    struct iovec parts[] = {{head, n}, {(void *)(uintptr_t)line, len - 1}};
    struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent = e->real->keyed_sendmsg(fd, &m, MSG_NOSIGNAL);
    e->real->close(fd);
    return sent >= 0;
}

void s5_log_events_write(void *user, const char *line, size_t len)
{
    struct s5_engine *e = user;
    const struct s5_policy *p = atomic_load(&e->policy_state) == S5_ENGINE_LOADED ? e->policy : NULL;
    const char *to = p && p->log_file ? s5_policy_text(p, p->log_file) : "";
    bool written = false;
    if (to[0] == '/')
        written = write_file(to, line, len);
    else if (strncmp(to, S5_LOG_EVENTS_FD, 3) == 0)
        written = write_fd(p, to + 3, line, len);
    else if (strcmp(to, S5_LOG_EVENTS_SYSLOG) == 0)
        written = write_syslog(e, line, len);
    if (!written && s5_engine_owns_stderr(e))
        s5_in_engine_write(2, line, len);
}

/* Reads the kernel's name of this program into RET. Returns RET, or NULL where there is none. libc's name for it
 * would be one more symbol to resolve at the start of every program. */
static const char *read_program(char ret[static 16])
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/comm", O_RDONLY | O_CLOEXEC, 0);
    ssize_t n = fd >= 0 ? syscall(SYS_read, fd, ret, 15) : -1;
    if (fd >= 0)
        syscall(SYS_close, fd);
    ret[n > 0 ? n : 0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    return ret[0] ? ret : NULL;
}

void s5_log_events_begin(struct s5_engine *e)
{
    const struct s5_policy *p = e->policy;
    enum s5_log_level level = (enum s5_log_level)p->log_level;
    bool noted = p->log_counts || level >= S5_LOG_INFO;
    /* After a reload other threads read these. They change hardly ever, and are written only then. */
    if ((noted || p->log_json) && !e->log.program)
        e->log.program = read_program(e->program);
    if (!e->log.now)
        e->log.now = s5_clock_wall_ms;
    if (e->log.level != level)
        e->log.level = level;
    if (e->log.json != p->log_json)
        e->log.json = p->log_json;
    if (e->noted != noted)
        e->noted = noted;
}

/* ---- Statistics ---- */

/* Returns the statistics, or NULL where none are kept. */
static struct s5_stats *get_stats(struct s5_engine *e)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    return shm && e->noted && e->policy->log_counts ? &shm->stats : NULL;
}

static void increment_count(_Atomic uint32_t *of)
{
    atomic_fetch_add_explicit(of, 1, memory_order_relaxed);
}

void s5_log_events_denied(struct s5_engine *e)
{
    struct s5_stats *c = get_stats(e);
    if (c)
        increment_count(&c->denied);
}

void s5_log_events_unreachable(struct s5_engine *e, uint32_t server_index)
{
    struct s5_stats *c = get_stats(e);
    if (c)
        increment_count(&c->servers[server_index].unreachable);
}

void s5_log_events_passed_over(struct s5_engine *e, uint32_t server_index)
{
    struct s5_stats *c = get_stats(e);
    if (c)
        increment_count(&c->servers[server_index].passed_over);
}

void s5_log_events_other(struct s5_engine *e, uint32_t server_index, uint8_t command, bool good)
{
    struct s5_stats *c = get_stats(e);
    struct s5_server_stats *s = c ? &c->servers[server_index] : NULL;
    if (s && command == S5_CMD_BIND)
        increment_count(good ? &s->listeners : &s->listeners_failed);
    else if (s)
        increment_count(good ? &s->associations : &s->associations_failed);
}

/* ---- Log lines ---- */

static const char *get_rule_name(const struct s5_policy *p, const struct s5_route *route)
{
    return route->rule >= 0 ? s5_policy_text(p, p->rules[route->rule].name) : NULL;
}

void s5_log_events_direct(struct s5_engine *e, const struct s5_flow *flow, const struct s5_route *route)
{
    struct s5_stats *c = get_stats(e);
    if (c)
        increment_count(&c->direct);
    struct s5_event event = {
        .command = "connect", .to = flow->to, .rule = get_rule_name(e->policy, route), .result = "direct", .ms = -1};
    s5_event_log(&e->log, S5_LOG_INFO, &event);
}

static void count_result(struct s5_stats *c, const struct s5_negotiation *f, bool ready)
{
    struct s5_server_stats *s = &c->servers[s5_negotiation_server(f)];
    uint8_t rep = f->session.rep;
    if (ready)
        increment_count(&s->connected);
    else if (f->session.have_rep)
        increment_count(&s->failed[rep < S5_STATS_REPS ? rep : 0]);
    else
        increment_count(f->written ? &s->unanswered : &s->unreachable);
}

/* Logs the phases of the negotiation with the server, for success and for failure. */
static void log_phases(struct s5_engine *e, const struct s5_negotiation *f, bool ready)
{
    static const char *const methods[] = {"none", "gssapi", "userpass"};
    const struct s5_session *s = &f->session;
    char server[S5_ADDR_TEXT_MAX] = "", bound[S5_ADDR_TEXT_MAX];
    struct s5_addr addr;
    struct s5_endpoint server_at = s5_endpoint_bounded(&f->server);
    if (s5_addr_from_sockaddr(&addr, &server_at.any, server_at.len) == 0)
        s5_addr_format(&addr, server, sizeof server);
    s5_log(&e->log, S5_LOG_DEBUG, "server %s: method %s, %s%s, %s, bound to %s", server,
           s->method < 3 ? methods[s->method] : "not selected", s->pipeline ? "pipelined" : "step by step",
           f->again ? " at the second attempt" : "", ready ? s5_reply_text(s->rep) : s5_reply_why(s->have_rep, s->rep),
           s5_addr_format(s5_session_bound(s), bound, sizeof bound));
}

const char *s5_log_events_why(const struct s5_negotiation *f, int error)
{
    const struct s5_session *s = &f->session;
    if (s->have_rep)
        return s5_reply_why(true, s->rep);
    if (error == -ETIMEDOUT)
        return "it does not answer";
    if (s5_session_last_state(s) == S5_SESSION_AUTH)
        return "wrong name or password";
    return error == -EACCES ? "it accepts none of the methods" : s5_error_text(error);
}

/* Stores the names of the hops of F in RET. Returns RET, or NULL: its server is no chain. */
static const char *list_hops(const struct s5_policy *p, const struct s5_negotiation *f, char *ret, size_t size)
{
    size_t n = 0;
    for (unsigned i = 0; i < f->chain.n && i < S5_CHAIN_HOPS; i++)
        n += s5_format(ret + n, size - n, i ? ", %s" : "%s",
                       s5_policy_text(p, p->servers[s5_negotiation_hop(f, i)].name));
    return f->chain.n ? ret : NULL;
}

void s5_log_events_result(struct s5_engine *e, const struct s5_negotiation *f, bool ready)
{
    struct s5_stats *c = get_stats(e);
    if (c)
        count_result(c, f, ready);
    if (e->log.level < S5_LOG_INFO)
        return;
    if (e->others)
        e->others->completes(f->cookie);
    const struct s5_policy *p = e->policy;
    const struct s5_session *s = &f->session;
    struct s5_flow flow = {s5_negotiation_destination(f), S5_PROTO_TCP, S5_CMD_CONNECT};
    struct s5_route route = s5_policy_decide(p, &flow);
    char hops[400];
    struct s5_event event = {
        .command = "connect",
        .to = flow.to,
        .hops = list_hops(p, f, hops, sizeof hops),
        .rule = get_rule_name(p, &route),
        .server = s5_negotiation_server_name(p, f),
        .result = ready ? "connected" : s5_error_text(f->error),
        .phase = ready ? NULL : s5_session_phase(s),
        .reply = !ready && s->have_rep ? s5_reply_why(true, s->rep) : NULL,
        .ms = (int64_t)((s5_clock_now() - f->begun) / 1000000),
    };
    s5_event_log(&e->log, S5_LOG_INFO, &event);
    if (e->log.level >= S5_LOG_DEBUG)
        log_phases(e, f, ready);
}

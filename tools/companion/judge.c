/* Theory of operation: while the caller waits, another of its threads could put another socket under the number, or
 * write another address. The verdict is therefore worth what the fence is: it stops accidents.
 *
 * A socket that cannot be looked at is taken for one of the Internet. The exception is connect() with the length of an
 * address of a UNIX socket: libc calls it that way, also in programs that nobody may look into. */
#include "judge.h"
#include "addr.h"
#include "caller.h"
#include "filter.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum call { CONNECT, LISTEN, SENDTO, SENDMSG, SENDMMSG, SOCKET, SETSOCKOPT, SOCKETCALL, BPF, IO_URING, CALLS };

static const char *const names[CALLS] = {"connect()", "listen()",     "sendto()",     "sendmsg()", "sendmmsg()",
                                         "socket()",  "setsockopt()", "socketcall()", "bpf()",     "io_uring"};

static const struct s5_machine *find_machine(uint32_t arch)
{
    const struct s5_machine *machines = s5_machine_own();
    for (unsigned i = 0; machines && i < S5_MACHINES; i++)
        if (machines[i].arch == arch)
            return &machines[i];
    return NULL;
}

static enum call find_call(const struct seccomp_data *d)
{
    const struct s5_machine *m = find_machine(d->arch);
    enum call call = 0;
    if (!m) /* the filter reports no other machine */
        return IO_URING;
    const uint32_t numbers[IO_URING] = {m->connect, m->listen,     m->sendto,     m->sendmsg, m->sendmmsg,
                                        m->socket,  m->setsockopt, m->socketcall, m->bpf};
    while (call < IO_URING && numbers[call] != (uint32_t)d->nr)
        call++;
    return call;
}

/* The number of the system call that FUNCTION of socketcall() stands for; -1: none that the filter inspects. */
static int get_function_number(const struct s5_machine *m, uint32_t function)
{
    switch ((enum s5_machine_socketcall)function) {
    case S5_SOCKETCALL_SOCKET:
        return (int)m->socket;
    case S5_SOCKETCALL_CONNECT:
        return (int)m->connect;
    case S5_SOCKETCALL_LISTEN:
        return (int)m->listen;
    case S5_SOCKETCALL_SENDTO:
        return (int)m->sendto;
    case S5_SOCKETCALL_SETSOCKOPT:
        return (int)m->setsockopt;
    case S5_SOCKETCALL_SENDMSG:
        return (int)m->sendmsg;
    case S5_SOCKETCALL_SENDMMSG:
        return (int)m->sendmmsg;
    }
    return -1;
}

/* Returns Q or, if it is socketcall(), a copy in RET with the call and the arguments that it stands for. NULL: the
 * arguments cannot be read. */
static const struct seccomp_notif *unpack_socketcall(const struct seccomp_notif *q, struct seccomp_notif *ret)
{
    const struct s5_machine *m = find_machine(q->data.arch);
    uint32_t words[6] = {0};
    if (!m || !m->socketcall || (uint32_t)q->data.nr != m->socketcall)
        return q;
    unsigned n = q->data.args[0] == S5_SOCKETCALL_SENDTO       ? 6
                 : q->data.args[0] == S5_SOCKETCALL_SETSOCKOPT ? 5
                 : q->data.args[0] == S5_SOCKETCALL_SENDMMSG   ? 4
                 : q->data.args[0] == S5_SOCKETCALL_LISTEN     ? 2
                                                               : 3;
    if (!caller_memory((pid_t)q->pid, q->data.args[1], words, n * sizeof(*words)))
        return NULL;
    *ret = *q;
    ret->data.nr = get_function_number(m, (uint32_t)q->data.args[0]);
    for (unsigned i = 0; i < 6; i++)
        ret->data.args[i] = words[i];
    return ret;
}

static bool has_socket(enum call call)
{
    return call <= SENDMMSG || call == SETSOCKOPT;
}

static bool is_local_protocol(const char *protocol)
{
    return strncmp(protocol, "UNIX", 4) == 0 || strcmp(protocol, "NETLINK") == 0 || strcmp(protocol, "ALG") == 0;
}

/* Whether a call by socketcall() is none that the filter would have refused. Its descriptor is looked at otherwise. */
static bool is_harmless(const struct seccomp_data *d, enum call call, const struct s5_filter_options *options)
{
    if (call == SOCKET)
        return !s5_filter_refuses_socket((int)d->args[0], (int)d->args[1]);
    if (call == SETSOCKOPT)
        return !s5_filter_refuses_option(options, (int)d->args[1], (int)d->args[2], (uint32_t)d->args[4]);
    return (call == SENDTO && (d->args[4] == 0 || d->args[5] < S5_FILTER_INET)) ||
           (call == CONNECT && d->args[2] < S5_FILTER_INET);
}

/* Whether the socket of the call is not of the Internet. Else stores the errno that the call gets in RET_ERROR. */
static bool judge_socket(const struct seccomp_notif *q, enum call call, int *ret_error)
{
    char protocol[32];
    int result = caller_socket((pid_t)q->pid, (int)q->data.args[0], protocol, sizeof(protocol));
    if (result == 0)
        return is_local_protocol(protocol);
    if (result == -ENOENT) /* no such descriptor, or no such process here */
        *ret_error = EBADF;
    /* The kernel has an errno of its own for what is no socket. */
    return result == -ENOTSUP || (call == CONNECT && (uint32_t)q->data.args[2] == S5_FILTER_UNIX);
}

bool judge_call(const struct seccomp_notif *q, const struct s5_filter_options *options, int *ret_error)
{
    struct seccomp_notif unpacked;
    const struct seccomp_notif *real = unpack_socketcall(q, &unpacked);
    *ret_error = EACCES;
    if (!real) /* a socket that cannot be used without other calls, or an option */
        return q->data.args[0] == S5_SOCKETCALL_SOCKET || q->data.args[0] == S5_SOCKETCALL_SETSOCKOPT;
    enum call call = find_call(&real->data);
    if (real != q && is_harmless(&real->data, call, options))
        return true;
    int family = (int)real->data.args[0];
    if (call == IO_URING)
        *ret_error = ENOSYS;
    else if (call == BPF || (call == SOCKET && (family == AF_INET || family == AF_INET6)))
        *ret_error = EPERM;
    else if (call == SOCKET)
        *ret_error = EAFNOSUPPORT;
    return call <= SENDMMSG && judge_socket(real, call, ret_error);
}

bool judge_in_namespace(const struct seccomp_notif *q)
{
    struct seccomp_notif unpacked;
    const struct seccomp_notif *real = unpack_socketcall(q, &unpacked);
    if (!real || find_call(&real->data) != SOCKET)
        return real;
    int family = (int)real->data.args[0];
    return family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK ||
           family == AF_PACKET || family == AF_ALG;
}

/* ---- Text ---- */

/* The beginning of struct msghdr. */
struct message_head {
    uint64_t name;
    uint32_t name_len;
};

static bool read_message_head(pid_t task, bool wide, uint64_t at, struct message_head *ret)
{
    uint32_t narrow[2];
    if (wide)
        return caller_memory(task, at, ret, sizeof(ret->name) + sizeof(ret->name_len));
    bool read = caller_memory(task, at, narrow, sizeof(narrow));
    *ret = (struct message_head){narrow[0], narrow[1]};
    return read;
}

/* Stores the destination that the call names in RET. Returns false if it names none or cannot be read. */
static bool read_destination(const struct seccomp_notif *q, enum call call, struct s5_addr *ret)
{
    const struct seccomp_data *d = &q->data;
    const struct s5_machine *m = find_machine(d->arch);
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    struct message_head head = {0, 0};
    if (call == CONNECT)
        head = (struct message_head){d->args[1], (uint32_t)d->args[2]};
    else if (call == SENDTO)
        head = (struct message_head){d->args[4], (uint32_t)d->args[5]};
    else if ((call != SENDMSG && call != SENDMMSG) || !m ||
             !read_message_head((pid_t)q->pid, m->wide, d->args[1], &head))
        return false;
    size_t len = head.name_len < sizeof(sa) ? head.name_len : sizeof(sa);
    return head.name && caller_memory((pid_t)q->pid, head.name, &sa, len) &&
           s5_addr_from_sockaddr(ret, (struct sockaddr *)&sa, (socklen_t)len) == 0;
}

static void describe_socket(const struct seccomp_notif *q, enum call call, char *ret, size_t size)
{
    struct s5_addr to;
    char text[S5_ADDR_TEXT_MAX], protocol[32];
    bool known = caller_socket((pid_t)q->pid, (int)q->data.args[0], protocol, sizeof(protocol)) == 0;
    if (read_destination(q, call, &to))
        snprintf(ret, size, "%s to %s (%s)", names[call], s5_addr_format(&to, text, sizeof(text)),
                 known ? protocol : to.kind == S5_ADDR_IPV4 ? "IPv4" : "IPv6");
    else
        snprintf(ret, size, "%s on a socket of %s", names[call], known ? protocol : "an unknown protocol");
}

void judge_describe(const struct seccomp_notif *q, char *ret, size_t size)
{
    struct seccomp_notif unpacked;
    const struct seccomp_notif *real = unpack_socketcall(q, &unpacked);
    q = real ? real : q;
    const struct seccomp_data *d = &q->data;
    enum call call = find_call(d);
    if (call == SETSOCKOPT)
        snprintf(ret, size, "%s of level %d, name %d", names[call], (int)d->args[1], (int)d->args[2]);
    else if (has_socket(call))
        describe_socket(q, call, ret, size);
    else if (call == SOCKET)
        snprintf(ret, size, "%s of family %d, type %d", names[call], (int)d->args[0], (int)d->args[1] & 15);
    else
        snprintf(ret, size, "%s", names[call]);
}

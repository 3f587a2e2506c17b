/* Theory of operation: two forks, so that the command does not find a child that it did not start. The companion has
 * no right and no secret that the tree lacks: it is the same user, and it erases what it inherited of the policy.
 *
 * If it is killed, the kernel refuses unkeyed calls by itself (ENOSYS). If it is stopped, their callers wait, and can
 * be interrupted. Calls with the key do not depend on it.
 *
 * Signals are blocked: those for the terminal or the session are meant for the command. The companion ends when the
 * last process of the tree has ended, which the kernel reports by POLLHUP. */
#include "companion.h"
#include "bridge.h"
#include "caller.h"
#include "companion_request.h"
#include "close_descriptors.h"
#include "fence_rules.h"
#include "judge.h"
#include "keyed.h"
#include "members.h"
#include "refusals.h"
#include "serve.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Since Linux 5.14 and 6.6. */
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#endif

#define CHANNELS 256
#define CHILDREN 64

enum { LISTENER, SIGNALS, FIRST_CHANNEL };

static struct pollfd fds[FIRST_CHANNEL + CHANNELS];
static pid_t tasks[FIRST_CHANNEL + CHANNELS]; /* who opened the channel */
static unsigned n_fds, n_children;
static struct serve_bridge bridge;
static struct s5_filter_options filter_options; /* what the rules leave to the kernel */

/* ---- Channels ---- */

/* Adds a descriptor to the caller, whose number is the result of its call. Returns false if that is not possible. */
static bool open_channel(const struct seccomp_notif *q)
{
    int ends[2];
    if (n_fds == FIRST_CHANNEL + CHANNELS || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return false;
    struct seccomp_notif_addfd add = {
        .id = q->id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (__u32)ends[1], .newfd_flags = O_CLOEXEC};
    int result = ioctl(fds[LISTENER].fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    int error = errno;
    close(ends[1]);
    if (result < 0) {
        close(ends[0]);
        return error == ENOENT; /* the caller has gone */
    }
    tasks[n_fds] = (pid_t)q->pid;
    fds[n_fds++] = (struct pollfd){ends[0], POLLIN, 0};
    return true;
}

/* Reads, without taking it, what the request on channel I is for. */
static bool wants_gateway(unsigned i)
{
    uint32_t service = S5_COMPANION_SERVICES;
    return fds[i].revents & POLLIN && recv(fds[i].fd, &service, sizeof(service), MSG_PEEK | MSG_DONTWAIT) > 0 &&
           service == S5_COMPANION_GATEWAY;
}

/* Registers the namespace of the channel's task. A child starts the gateway on the channel. */
static bool add_member(unsigned i)
{
    int32_t result = members_add(tasks[i]);
    if (send(fds[i].fd, &result, sizeof(result), MSG_NOSIGNAL) != sizeof(result))
        result = -EPIPE;
    return result == 0;
}

/* Lets a child serve channel I. */
static void serve_channel(unsigned i)
{
    bool refused = wants_gateway(i) && !add_member(i);
    pid_t pid = fds[i].revents & POLLIN && !refused ? fork() : -1;
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        close(fds[LISTENER].fd);
        serve_request(fds[i].fd, tasks[i], &bridge);
    }
    n_children += pid > 0;
    close(fds[i].fd);
    fds[i] = fds[--n_fds];
    tasks[i] = tasks[n_fds];
}

static void reap_children(void)
{
    struct signalfd_siginfo info;
    (void)!read(fds[SIGNALS].fd, &info, sizeof(info));
    while (waitpid(-1, NULL, WNOHANG) > 0)
        n_children--;
}

/* ---- Reports ---- */

static bool is_request(const struct seccomp_notif *q)
{
    return (uint32_t)q->data.args[3] == S5_FILTER_MAGIC && (int)q->data.args[0] == S5_FILTER_CALL;
}

static void answer_report(void)
{
    static struct seccomp_notif q;
    struct seccomp_notif_resp answer = {.error = -EAGAIN};
    int error;
    memset(&q, 0, sizeof(q));
    if (ioctl(fds[LISTENER].fd, SECCOMP_IOCTL_NOTIF_RECV, &q) < 0)
        return;
    answer.id = q.id;
    if (is_request(&q)) {
        if (open_channel(&q))
            return;
    } else if ((members_has((pid_t)q.pid) && judge_in_namespace(&q)) || judge_call(&q, &filter_options, &error)) {
        answer.error = 0;
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    } else {
        answer.error = -error;
        refusals_report(&q); /* while the caller waits: it can be looked at */
    }
    ioctl(fds[LISTENER].fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

static _Noreturn void serve_tree(void)
{
    for (;;) {
        /* Channels wait while there are many children. */
        unsigned n = n_children < CHILDREN ? n_fds : FIRST_CHANNEL;
        if (poll(fds, n, refusals_flush()) < 0)
            continue;
        if (fds[LISTENER].revents & POLLIN)
            answer_report();
        else if (fds[LISTENER].revents)
            _exit(0); /* nobody is within the fence */
        if (fds[SIGNALS].revents)
            reap_children();
        for (unsigned i = n; i-- > FIRST_CHANNEL;)
            if (fds[i].revents && n_children < CHILDREN)
                serve_channel(i);
    }
}

/* ---- Start ---- */

/* Keeps KEPT and the descriptors of the shared memory. Standard input, output and error become /dev/null. */
static void drop_descriptors(int kept)
{
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    unsigned low = (unsigned)(kept < bridge.shm_fd ? kept : bridge.shm_fd);
    unsigned high = (unsigned)(kept < bridge.shm_fd ? bridge.shm_fd : kept);
    unsigned after_low = low + (low == (unsigned)kept ? 1 : S5_SHM_FDS);
    unsigned after_high = high + (high == (unsigned)kept ? 1 : S5_SHM_FDS);
    s5_close_descriptors(3, low - 1);
    s5_close_descriptors(after_low, high - 1);
    s5_close_descriptors(after_high, ~0U);
}

static int receive_listener(int from)
{
    char octet;
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {&octet, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    int listener = -1;
    ssize_t n;
    do
        n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n == 1 && m.msg_controllen >= CMSG_LEN(sizeof(int)) && control.header.cmsg_type == SCM_RIGHTS)
        memcpy(&listener, CMSG_DATA(&control.header), sizeof(listener));
    return listener;
}

static void erase_secrets(const struct s5_policy *policy)
{
    struct s5_policy *own = (struct s5_policy *)(uintptr_t)policy; /* of this process alone, since the fork */
    for (unsigned i = 0; i < S5_POLICY_SERVERS; i++) {
        explicit_bzero(own->servers[i].username, sizeof(own->servers[i].username));
        explicit_bzero(own->servers[i].password, sizeof(own->servers[i].password));
    }
}

static _Noreturn void run_companion(int from, const struct s5_policy *policy)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL);
    setsid();
    prctl(PR_SET_NAME, "socks5companion");
    refusals_begin(policy);
    s5_fence_rules_apply(&filter_options, policy);
    erase_secrets(policy);
    drop_descriptors(from);
    caller_begin();
    (void)!chdir("/");
    int listener = receive_listener(from);
    close(from);
    if (listener < 0)
        _exit(0);
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    fds[LISTENER] = (struct pollfd){listener, POLLIN, 0};
    fds[SIGNALS] = (struct pollfd){signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0};
    n_fds = FIRST_CHANNEL;
    serve_tree();
}

int companion_start(const struct s5_policy *policy, struct s5_shm *shm, int shm_fd, const char *bridge_path,
                    const char *gateway_path)
{
    int ends[2], status = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    bridge = (struct serve_bridge){shm, shm_fd, bridge_path, gateway_path};
    pid_t between = fork();
    if (between == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            close(ends[0]);
            run_companion(ends[1], policy);
        }
        _exit(pid < 0);
    }
    close(ends[1]);
    while (between > 0 && waitpid(between, &status, 0) < 0 && errno == EINTR)
        ;
    if (between > 0 && status == 0)
        return ends[0];
    close(ends[0]);
    return -EAGAIN;
}

void companion_give(int companion, int listener)
{
    char octet = 0;
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(int))];
    } control = {.octets = {0}};
    struct iovec iov = {&octet, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    control.header = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(listener))};
    memcpy(CMSG_DATA(&control.header), &listener, sizeof(listener));
    s5_keyed_sendmsg(companion, &m, MSG_NOSIGNAL); /* if that fails, the kernel refuses unkeyed calls by itself */
    close(listener);
}

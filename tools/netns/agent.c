/* The agent has the program's user and is in its namespaces, but not in its mount namespace, whose end tells the
 * gateway that the last program has ended. It has no right that the program lacks. */
#include "agent.h"
#include "close_descriptors.h"
#include "endpoint.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A fork whose child sends no SIGCHLD: a blocked signal would be pending for the command. This process has one
 * thread. */
static pid_t fork_silently(void)
{
    return (pid_t)syscall(SYS_clone, 0L, 0L, 0L, 0L, 0L);
}

int agent_fork_apart(void (*child)(void *user), void *user)
{
    pid_t pid = fork_silently();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        setsid();
        if (fork_silently() == 0)
            child(user);
        _exit(0);
    }
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    return 0;
}

static int connect_loopback(const struct agent_request *q)
{
    const struct s5_endpoint at = s5_endpoint_loopback(q->family, q->port);
    int fd = socket(q->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, &at.any, at.len) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

static void send_reply(int channel, int fd)
{
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(int))];
    } control;
    int32_t result = fd < 0 ? fd : 0;
    struct iovec iov = {&result, sizeof(result)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        memset(&control, 0, sizeof(control));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        m.msg_control = &control;
        m.msg_controllen = sizeof(control);
    }
    (void)!sendmsg(channel, &m, MSG_NOSIGNAL);
}

static void serve_gateway(void *user)
{
    int channel = *(int *)user;
    struct agent_request q;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_NAME, "socks5agent");
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    dup2(channel, 3);
    s5_close_descriptors(4, ~0U);
    (void)!chdir("/");
    while (recv(3, &q, sizeof(q), 0) == (ssize_t)sizeof(q)) {
        int fd = connect_loopback(&q);
        send_reply(3, fd);
        if (fd >= 0)
            close(fd);
    }
    _exit(0);
}

int agent_start(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    int result = agent_fork_apart(serve_gateway, &ends[1]);
    close(ends[1]);
    if (result == 0)
        return ends[0];
    close(ends[0]);
    return result;
}

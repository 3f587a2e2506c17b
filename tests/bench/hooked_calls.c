/* Calls one hooked function N times on a descriptor that the preload object does not handle. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int fd, ep;
static const int closed_fd = 1000; /* not open: the kernel returns EBADF at once */

static void call_read(void)
{
    char c;
    (void)!read(closed_fd, &c, 1);
}
static void call_write(void)
{
    (void)!write(closed_fd, "", 1);
}
static void call_send(void)
{
    send(closed_fd, "", 1, 0);
}
static void call_recv(void)
{
    char c;
    recv(closed_fd, &c, 1, 0);
}
static void call_sendmsg(void)
{
    char c = 0;
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    sendmsg(closed_fd, &m, 0);
}
static void call_getppid(void)
{
    getppid();
}
static void call_close(void)
{
    close(-1);
}
static void call_close_high(void)
{
    close(1000);
}
static void call_getsockopt(void)
{
    int v;
    socklen_t len = sizeof v;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, &len);
}
static void call_getpeername(void)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    getpeername(fd, (struct sockaddr *)&sa, &len);
}
static void call_poll(void)
{
    struct pollfd p = {fd, POLLIN, 0};
    poll(&p, 1, 0);
}
static void call_select(void)
{
    fd_set in;
    struct timeval none = {0, 0};
    FD_ZERO(&in);
    FD_SET(fd, &in);
    select(fd + 1, &in, NULL, NULL, &none);
}
static void call_epoll_wait(void)
{
    struct epoll_event e;
    epoll_wait(ep, &e, 1, 0);
}
static void call_epoll_ctl(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
}

static const struct {
    const char *name;
    void (*call)(void);
} calls[] = {
    {"read", call_read},           {"write", call_write},
    {"send", call_send},           {"recv", call_recv},
    {"sendmsg", call_sendmsg},     {"getppid", call_getppid},
    {"close", call_close},         {"close-open-chunk", call_close_high},
    {"getsockopt", call_getsockopt}, {"getpeername", call_getpeername},
    {"poll", call_poll},           {"select", call_select},
    {"epoll_wait", call_epoll_wait}, {"epoll_ctl", call_epoll_ctl},
};

/* Under the preload object this socket gets an association. Other descriptors must not be slower because of it. */
static void open_datagrams(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    if (connect(socket(AF_INET, SOCK_DGRAM, 0), (struct sockaddr *)&to, sizeof to) != 0)
        exit(3);
}

int main(int argc, char **argv)
{
    const char *beside = argc > 1 ? strstr(argv[1], "-beside-datagrams") : NULL;
    if (argc != 3)
        return 2;
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    fd = pair[0];
    ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    if (beside) {
        open_datagrams();
        argv[1][beside - argv[1]] = 0;
    }
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, argv[1]) == 0) {
            for (int n = atoi(argv[2]); n > 0; n--)
                calls[i].call();
            return 0;
        }
    return 2;
}

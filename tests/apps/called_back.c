/* A server that accepts connections from the peer of its own connection, as active-mode FTP does. It connects,
 * listens on a port chosen by the kernel, sends that address over the connection, and accepts. This is done ten
 * times in the manner given by the third argument. Both ends must see the same two addresses. */
#include "app.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define TIMES 10

static int control_fd; /* the connection over which the address is sent */
static int listen_fd;  /* the listener */
static int ep = -1;    /* the listener is registered here before it is bound */
static bool nonblock;
static bool by_epoll, by_poll, by_select, by_fork;

static void format_address(const struct sockaddr_storage *a, char *ret, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    const void *octets = a->ss_family == AF_INET
                             ? (const void *)&((const struct sockaddr_in *)a)->sin_addr
                             : (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr;
    CHECK(inet_ntop(a->ss_family, octets, host, sizeof(host)));
    snprintf(ret, size, "%s %u", host, ntohs(((const struct sockaddr_in *)a)->sin_port));
}

typedef int name_fn(int, struct sockaddr *, socklen_t *);

static void format_name(name_fn *get, int fd, char *ret, size_t size)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    CHECK(get(fd, (struct sockaddr *)&a, &len) == 0);
    format_address(&a, ret, size);
}

static void send_own_address(void)
{
    char text[128];
    format_name(getsockname, listen_fd, text, sizeof(text) - 1);
    strcat(text, "\n");
    CHECK(strncmp(text, "0.0.0.0 ", 8) != 0 && strncmp(text, ":: ", 3) != 0);
    CHECK(write(control_fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void wait_for_caller(void)
{
    struct epoll_event event = {.events = 0};
    struct pollfd p = {listen_fd, POLLIN, 0};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(listen_fd, &in);
    if (by_epoll) {
        CHECK(epoll_wait(ep, &event, 1, 30000) == 1);
        CHECK(event.events & EPOLLIN && event.data.u64 == 0x1234567890);
    } else if (by_poll) {
        CHECK(poll(&p, 1, 30000) == 1 && p.revents == POLLIN);
    } else if (by_select) {
        struct timeval limit = {30, 0};
        CHECK(select(listen_fd + 1, &in, NULL, NULL, &limit) == 1 && FD_ISSET(listen_fd, &in));
    }
}

static int accept_caller(struct sockaddr_storage *from)
{
    for (;;) {
        socklen_t len = sizeof(*from);
        wait_for_caller();
        int fd = accept4(listen_fd, (struct sockaddr *)from, &len, SOCK_CLOEXEC);
        if (fd >= 0 || !nonblock || errno != EAGAIN)
            return fd;
    }
}

static void check_caller(int fd, const struct sockaddr_storage *from)
{
    char from_accept[128], mine[128], expected[300], received[300];
    format_address(from, from_accept, sizeof(from_accept));
    format_name(getpeername, fd, mine, sizeof(mine));
    CHECK(strcmp(from_accept, mine) == 0);
    format_name(getsockname, fd, mine, sizeof(mine));
    snprintf(expected, sizeof(expected), "%s %s\n", from_accept, mine);
    size_t n = 0;
    while (n < sizeof(received) - 1 && (n == 0 || received[n - 1] != '\n')) {
        ssize_t got = read(fd, received + n, sizeof(received) - 1 - n);
        if (got <= 0)
            FAIL("the caller sent nothing");
        n += (size_t)got;
    }
    received[n] = 0;
    if (strcmp(received, expected) != 0)
        FAIL("the caller sent %s, the socket has %s", received, expected);
    CHECK(write(fd, "thanks\n", 7) == 7);
    close(fd);
}

static void accept_once(void)
{
    struct sockaddr_storage from;
    char octet;
    send_own_address();
    int fd = accept_caller(&from);
    if (fd < 0)
        FAIL("accept");
    CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK) && fcntl(fd, F_GETFD) & FD_CLOEXEC);
    pid_t pid = by_fork ? fork() : 0;
    if (pid == 0) {
        if (by_fork)
            close(listen_fd);
        check_caller(fd, &from);
        if (by_fork)
            exit(0);
    } else {
        close(fd);
        child_ends(pid);
    }
    CHECK(read(control_fd, &octet, 1) == 1); /* the caller has finished */
}

/* Three processes accept on the inherited listener. The parent sends its address. */
static void accept_in_children(void)
{
    enum { CHILDREN = 3 };
    pid_t children[CHILDREN];
    char octet;
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] != 0)
            continue;
        close(control_fd);
        if (by_epoll) {
            struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0x1234567890};
            ep = epoll_create1(EPOLL_CLOEXEC);
            CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, listen_fd, &event) == 0);
        }
        for (;;) {
            struct sockaddr_storage from;
            int fd = accept_caller(&from);
            if (fd < 0)
                FAIL("accept in a child");
            check_caller(fd, &from);
        }
    }
    for (int i = 0; i < TIMES; i++) {
        send_own_address();
        CHECK(read(control_fd, &octet, 1) == 1);
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        CHECK(kill(children[i], SIGTERM) == 0 && waitpid(children[i], &status, 0) == children[i]);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    }
}

static void listen_on(const struct peer *p, const char *how)
{
    struct peer any = peer_of(p->family == AF_INET ? "0.0.0.0" : "::", "0");
    struct peer own = {.len = sizeof(own.addr)};
    int yes = 1, accepts = 0;
    socklen_t len = sizeof(accepts);
    listen_fd = tcp_socket(p, nonblock ? SOCK_NONBLOCK : 0);
    CHECK(setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0);
    if (by_epoll) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0x1234567890};
        ep = epoll_create1(EPOLL_CLOEXEC);
        CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, listen_fd, &event) == 0);
        while (epoll_wait(ep, &event, 1, 0) > 0)
            ; /* an unconnected socket reports EPOLLHUP */
    }
    /* In a bare program the caller can reach the local address of its connection. */
    CHECK(getsockname(control_fd, (struct sockaddr *)&own.addr, &own.len) == 0);
    ((struct sockaddr_in *)&own.addr)->sin_port = 0;
    if (strstr(how, "any") == NULL)
        any = own;
    CHECK(bind(listen_fd, peer_addr(&any), any.len) == 0);
    CHECK(listen(listen_fd, 8) == 0);
    CHECK(getsockopt(listen_fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) == 0 && accepts == 1);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    const char *how = argc > 3 ? argv[3] : "";
    if (strstr(how, "inherited")) { /* executed by this program itself, below */
        control_fd = atoi(argv[4]);
        listen_fd = atoi(argv[5]);
    } else {
        nonblock = strstr(how, "nonblock");
        by_epoll = strstr(how, "epoll");
        by_poll = strstr(how, "poll") && !by_epoll;
        by_select = strstr(how, "select");
        by_fork = strstr(how, "fork") && !strstr(how, "prefork");
        control_fd = tcp_connect(&p);
        listen_on(&p, how);
    }
    if (strstr(how, "exec")) {
        char a[16], b[16];
        accept_once();
        snprintf(a, sizeof(a), "%d", control_fd);
        snprintf(b, sizeof(b), "%d", listen_fd);
        execl(argv[0], argv[0], argv[1], argv[2], "inherited", a, b, (char *)NULL);
        FAIL("exec");
    }
    if (strstr(how, "prefork"))
        accept_in_children();
    else
        for (int i = 0; i < TIMES; i++)
            accept_once();
    close(listen_fd);
    close(control_fd);
    return 0;
}

/* A server that is called back: it connects to somebody, listens on a port that it leaves to the
 * kernel, tells the address over the connection, and accepts. Ten times, in the way that the third
 * argument says. Both ends must see the same two addresses. */
#include "app.h"
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define TIMES 10

static int caller;   /* told whom to call */
static int on;       /* listens */
static int ep = -1;  /* the listener is in it since before it was bound */
static bool nonblock;
static bool by_epoll, by_poll, by_select, by_fork;

static void text_of(const struct sockaddr_storage *a, char *ret, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    const void *octets = a->ss_family == AF_INET
                             ? (const void *)&((const struct sockaddr_in *)a)->sin_addr
                             : (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr;
    CHECK(inet_ntop(a->ss_family, octets, host, sizeof(host)));
    snprintf(ret, size, "%s %u", host, ntohs(((const struct sockaddr_in *)a)->sin_port));
}

typedef int name_fn(int, struct sockaddr *, socklen_t *);

static void name_of(name_fn *get, int fd, char *ret, size_t size)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof(a);
    CHECK(get(fd, (struct sockaddr *)&a, &len) == 0);
    text_of(&a, ret, size);
}

static void ask(void)
{
    char text[128];
    name_of(getsockname, on, text, sizeof(text) - 1);
    strcat(text, "\n");
    CHECK(strncmp(text, "0.0.0.0 ", 8) != 0 && strncmp(text, ":: ", 3) != 0);
    CHECK(write(caller, text, strlen(text)) == (ssize_t)strlen(text));
}

static void wait_for_it(void)
{
    struct epoll_event event = {.events = 0};
    struct pollfd p = {on, POLLIN, 0};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(on, &in);
    if (by_epoll) {
        CHECK(epoll_wait(ep, &event, 1, 30000) == 1);
        CHECK(event.events & EPOLLIN && event.data.u64 == 0x1234567890);
    } else if (by_poll) {
        CHECK(poll(&p, 1, 30000) == 1 && p.revents == POLLIN);
    } else if (by_select) {
        struct timeval limit = {30, 0};
        CHECK(select(on + 1, &in, NULL, NULL, &limit) == 1 && FD_ISSET(on, &in));
    }
}

static int take(struct sockaddr_storage *from)
{
    for (;;) {
        socklen_t len = sizeof(*from);
        wait_for_it();
        int fd = accept4(on, (struct sockaddr *)from, &len, SOCK_CLOEXEC);
        if (fd >= 0 || !nonblock || errno != EAGAIN)
            return fd;
    }
}

static void serve(int fd, const struct sockaddr_storage *from)
{
    char told[128], mine[128], expected[300], said[300];
    text_of(from, told, sizeof(told));
    name_of(getpeername, fd, mine, sizeof(mine));
    CHECK(strcmp(told, mine) == 0);
    name_of(getsockname, fd, mine, sizeof(mine));
    snprintf(expected, sizeof(expected), "%s %s\n", told, mine);
    size_t n = 0;
    while (n < sizeof(said) - 1 && (n == 0 || said[n - 1] != '\n')) {
        ssize_t got = read(fd, said + n, sizeof(said) - 1 - n);
        if (got <= 0)
            FAIL("the caller said nothing");
        n += (size_t)got;
    }
    said[n] = 0;
    if (strcmp(said, expected) != 0)
        FAIL("the caller says %s, the socket %s", said, expected);
    CHECK(write(fd, "thanks\n", 7) == 7);
    close(fd);
}

static void once(void)
{
    struct sockaddr_storage from;
    char octet;
    ask();
    int fd = take(&from);
    if (fd < 0)
        FAIL("accept");
    CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK) && fcntl(fd, F_GETFD) & FD_CLOEXEC);
    pid_t pid = by_fork ? fork() : 0;
    if (pid == 0) {
        if (by_fork)
            close(on);
        serve(fd, &from);
        if (by_fork)
            exit(0);
    } else {
        close(fd);
        child_ends(pid);
    }
    CHECK(read(caller, &octet, 1) == 1); /* the caller is done */
}

/* Three processes accept on the listener they note_inherited, a fourth tells its address. */
static void prefork(void)
{
    enum { CHILDREN = 3 };
    pid_t children[CHILDREN];
    char octet;
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] != 0)
            continue;
        close(caller);
        if (by_epoll) {
            struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0x1234567890};
            ep = epoll_create1(EPOLL_CLOEXEC);
            CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, on, &event) == 0);
        }
        for (;;) {
            struct sockaddr_storage from;
            int fd = take(&from);
            if (fd < 0)
                FAIL("accept in a child");
            serve(fd, &from);
        }
    }
    for (int i = 0; i < TIMES; i++) {
        ask();
        CHECK(read(caller, &octet, 1) == 1);
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
    on = tcp_socket(p, nonblock ? SOCK_NONBLOCK : 0);
    CHECK(setsockopt(on, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0);
    if (by_epoll) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0x1234567890};
        ep = epoll_create1(EPOLL_CLOEXEC);
        CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, on, &event) == 0);
        while (epoll_wait(ep, &event, 1, 0) > 0)
            ; /* an unconnected socket hangs up */
    }
    /* Bare, the address of the caller's connection is what it can call. */
    CHECK(getsockname(caller, (struct sockaddr *)&own.addr, &own.len) == 0);
    ((struct sockaddr_in *)&own.addr)->sin_port = 0;
    if (strstr(how, "any") == NULL)
        any = own;
    CHECK(bind(on, peer_addr(&any), any.len) == 0);
    CHECK(listen(on, 8) == 0);
    CHECK(getsockopt(on, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) == 0 && accepts == 1);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    const char *how = argc > 3 ? argv[3] : "";
    if (strstr(how, "note_inherited")) { /* execed by itself, below */
        caller = atoi(argv[4]);
        on = atoi(argv[5]);
    } else {
        nonblock = strstr(how, "nonblock");
        by_epoll = strstr(how, "epoll");
        by_poll = strstr(how, "poll") && !by_epoll;
        by_select = strstr(how, "select");
        by_fork = strstr(how, "fork") && !strstr(how, "prefork");
        caller = tcp_connect(&p);
        listen_on(&p, how);
    }
    if (strstr(how, "exec")) {
        char a[16], b[16];
        once();
        snprintf(a, sizeof(a), "%d", caller);
        snprintf(b, sizeof(b), "%d", on);
        execl(argv[0], argv[0], argv[1], argv[2], "note_inherited", a, b, (char *)NULL);
        FAIL("exec");
    }
    if (strstr(how, "prefork"))
        prefork();
    else
        for (int i = 0; i < TIMES; i++)
            once();
    close(on);
    close(caller);
    return 0;
}

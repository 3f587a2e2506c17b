/* A connection is in flight and the program waits for other things, in every way. The connection must be
 * established nevertheless, and each wait must end with its event or when its time-out expires. */
#include "app.h"
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/un.h>

enum { SLICE = 50, ROUNDS = 400 }; /* ms, and how often */

static struct peer target;
static int silent[2], pair[2], full[2], listener, ep, outer;
static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static int by_poll(void)
{
    struct pollfd p[2] = {{silent[0], POLLIN, 0}, {-1, POLLIN, 0}};
    return poll(p, 2, SLICE);
}

static int by_sleeping(void)
{
    return poll(NULL, 0, SLICE);
}

static int by_ppoll(void)
{
    struct pollfd p = {silent[0], POLLIN, 0};
    struct timespec t = {0, SLICE * 1000000};
    return ppoll(&p, 1, &t, NULL);
}

static int by_select(void)
{
    struct timeval t = {0, SLICE * 1000};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(silent[0], &set);
    int r = select(silent[0] + 1, &set, NULL, NULL, &t);
    CHECK(t.tv_sec == 0 && t.tv_usec <= 2000);
    return r;
}

static int by_pselect(void)
{
    struct timespec t = {0, SLICE * 1000000};
    return pselect(0, NULL, NULL, NULL, &t, NULL);
}

static int by_epoll(void)
{
    struct epoll_event got;
    return epoll_wait(ep, &got, 1, SLICE);
}

static int by_epoll_pwait(void)
{
    struct epoll_event got;
    return epoll_pwait(outer, &got, 1, SLICE, NULL);
}

static int timed_out(ssize_t r)
{
    return r == -1 && errno == EAGAIN ? 0 : -1;
}

static int by_read(void)
{
    char c;
    return timed_out(read(pair[0], &c, 1));
}

static int by_recv(void)
{
    char c;
    return timed_out(recv(pair[0], &c, 1, 0));
}

static int by_recvmsg(void)
{
    char c;
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    return timed_out(recvmsg(pair[0], &m, 0));
}

static int by_send(void)
{
    return timed_out(send(full[0], "x", 1, MSG_NOSIGNAL));
}

static int by_accept(void)
{
    return timed_out(accept(listener, NULL, NULL));
}

/* A signal ends the call, whose mask unblocks it only during the wait. */
static int by_a_signal(void)
{
    struct itimerval in = {.it_value = {0, SLICE * 1000}};
    sigset_t all, none;
    struct pollfd p = {silent[0], POLLIN, 0};
    struct timespec t = {20, 0};
    sigemptyset(&none);
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
    int before = signals;
    CHECK(setitimer(ITIMER_REAL, &in, NULL) == 0);
    int r = ppoll(&p, 1, &t, &none), error = errno;
    CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
    return r == -1 && error == EINTR && signals == before + 1 ? 0 : -1;
}

static const struct {
    const char *name;
    int (*wait)(void);
} ways[] = {
    {"poll", by_poll},       {"poll of nothing", by_sleeping}, {"ppoll", by_ppoll},
    {"select", by_select},   {"pselect of nothing", by_pselect}, {"epoll_wait", by_epoll},
    {"epoll_pwait of an epoll", by_epoll_pwait}, {"read", by_read}, {"recv", by_recv},
    {"recvmsg", by_recvmsg}, {"send", by_send},                {"accept", by_accept},
    {"ppoll and a signal", by_a_signal},
};

static bool is_connected(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    return getpeername(fd, (struct sockaddr *)&a, &len) == 0;
}

static void check_way(size_t way)
{
    int fd = tcp_begin(&target), rounds = 0;
    for (; !is_connected(fd) && rounds < ROUNDS; rounds++) {
        int64_t since = now_us();
        if (ways[way].wait() != 0)
            FAIL("%s did not return as expected", ways[way].name);
        CHECK(now_us() - since >= (SLICE - 5) * 1000);
    }
    if (!is_connected(fd))
        FAIL("%s: the connection is not established", ways[way].name);
    CHECK(so_error(fd) == 0);
    echo(fd, "elsewhere");
    close(fd);
}

/* A thread writes the awaited data while the connection is in flight. */
static void *write_later(void *arg)
{
    usleep(100000);
    CHECK(write(pair[1], "late", 4) == 4);
    return arg;
}

static void check_reports(void)
{
    pthread_t thread;
    char got[8];
    struct epoll_event event;
    for (int way = 0; way < 3; way++) {
        int fd = tcp_begin(&target);
        CHECK(pthread_create(&thread, NULL, write_later, NULL) == 0);
        if (way == 0)
            wait_for(pair[0], POLLIN);
        else if (way == 1)
            CHECK(epoll_wait(ep, &event, 1, 20000) == 1 && event.data.fd == pair[0]);
        CHECK(recv(pair[0], got, sizeof got, way == 2 ? MSG_PEEK : 0) == 4);
        if (way == 2)
            CHECK(read(pair[0], got, sizeof got) == 4);
        CHECK(pthread_join(thread, NULL) == 0);
        wait_for(fd, POLLOUT);
        echo(fd, "reported");
        close(fd);
    }
}

static void set_timeout(int fd, int option, int ms)
{
    struct timeval t = {ms / 1000, ms % 1000 * 1000};
    CHECK(setsockopt(fd, SOL_SOCKET, option, &t, sizeof t) == 0);
}

int main(int argc, char **argv)
{
    struct sigaction act = {.sa_handler = count_signal};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct epoll_event event = {.events = EPOLLIN};
    char block[4096] = {0};
    target = peer_from(argc, argv);
    CHECK(sigaction(SIGALRM, &act, NULL) == 0);
    CHECK(pipe(silent) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 &&
          socketpair(AF_UNIX, SOCK_STREAM, 0, full) == 0);
    while (send(full[0], block, sizeof block, MSG_DONTWAIT) > 0)
        ;
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&local, sizeof local.sun_family) == 0 && listen(listener, 5) == 0);
    ep = epoll_create1(0);
    outer = epoll_create1(0);
    event.data.fd = pair[0];
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, pair[0], &event) == 0);
    event.data.fd = ep;
    CHECK(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &event) == 0);
    check_reports();
    set_timeout(pair[0], SO_RCVTIMEO, SLICE);
    set_timeout(full[0], SO_SNDTIMEO, SLICE);
    set_timeout(listener, SO_RCVTIMEO, SLICE);
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++)
        check_way(way);
    return 0;
}

/* Sixty-four threads that connect, duplicate, close and wait in every way at once, and signals that
 * come in between: each gets its own octets back, and no descriptor stays behind. */
#include "app.h"
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#define THREADS 64
#define ROUNDS  6

static struct peer p;

static void nothing(int sig)
{
    (void)sig;
}

static void by_epoll(int fd)
{
    int ep = epoll_create1(EPOLL_CLOEXEC), n;
    struct epoll_event e = {.events = EPOLLOUT | EPOLLET}, got;
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    do
        n = epoll_wait(ep, &got, 1, 60000);
    while (n < 0 && errno == EINTR);
    CHECK(n == 1 && so_error(fd) == 0);
    close(ep);
}

static void by_poll(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    int n;
    do
        n = poll(&pfd, 1, 60000);
    while (n < 0 && errno == EINTR);
    CHECK(n == 1 && so_error(fd) == 0);
}

/* Octets that only this thread would send, there and back. */
static void own_octets(int fd, int number, int round)
{
    char text[32], back[32];
    int n = snprintf(text, sizeof(text), "thread %d, round %d", number, round), got = 0;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    CHECK(write(fd, text, (size_t)n) == n);
    while (got < n) {
        ssize_t r = read(fd, back + got, (size_t)(n - got));
        if (r < 0 && errno == EINTR)
            continue;
        CHECK(r > 0);
        got += (int)r;
    }
    if (memcmp(text, back, (size_t)n) != 0)
        FAIL("%s: came back as %.*s, %02x %02x %02x %02x %02x", text, n, back, back[0], back[1], back[2], back[3], back[4]);
}

static int begun(int round)
{
    int fd = tcp_begin(&p), twin;
    if (round % 3 == 0)
        return fd;
    twin = dup(fd); /* goes on under another number */
    CHECK(twin >= 0);
    close(fd);
    return twin;
}

static void *one(void *arg)
{
    int number = (int)(intptr_t)arg;
    for (int round = 0; round < ROUNDS; round++) {
        int way = (number + round) % 4, fd = way == 0 ? tcp_connect(&p) : begun(round);
        if (way == 1)
            by_epoll(fd);
        else if (way == 2)
            by_poll(fd);
        else if (way == 3) { /* given up in the middle */
            close(fd);
            continue;
        }
        own_octets(fd, number, round);
        close(fd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    pthread_t threads[THREADS];
    p = peer_from(argc, argv);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    close(tcp_connect(&p)); /* what stays open from the first on is there */
    int before = open_descriptors();
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, one, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < 200; i++) {
        struct timespec pause = {0, 2000000};
        kill(getpid(), SIGUSR1);
        nanosleep(&pause, NULL);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    descriptors_within(before);
    return 0;
}

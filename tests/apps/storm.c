/* 64 threads connect, duplicate, close and wait concurrently, in every way, while signals arrive. Each must
 * receive its own octets, and no descriptor may be leaked. */
#include "app.h"
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#define THREADS 64
#define ROUNDS  6

static struct peer p;

static void ignore_signal(int sig)
{
    (void)sig;
}

static void wait_epoll(int fd)
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

static void wait_poll(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLOUT};
    int n;
    do
        n = poll(&pfd, 1, 60000);
    while (n < 0 && errno == EINTR);
    CHECK(n == 1 && so_error(fd) == 0);
}

/* Sends octets that only this thread sends, and receives them again. */
static void check_echo(int fd, int number, int round)
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
        FAIL("%s: the echo is %.*s, %02x %02x %02x %02x %02x", text, n, back, back[0], back[1], back[2], back[3],
             back[4]);
}

static int begin_connect(int round)
{
    int fd = tcp_begin(&p), twin;
    if (round % 3 == 0)
        return fd;
    twin = dup(fd); /* continues under another number */
    CHECK(twin >= 0);
    close(fd);
    return twin;
}

static void *run_thread(void *arg)
{
    int number = (int)(intptr_t)arg;
    for (int round = 0; round < ROUNDS; round++) {
        int way = (number + round) % 4, fd = way == 0 ? tcp_connect(&p) : begin_connect(round);
        if (way == 1)
            wait_epoll(fd);
        else if (way == 2)
            wait_poll(fd);
        else if (way == 3) { /* given up before it is established */
            close(fd);
            continue;
        }
        check_echo(fd, number, round);
        close(fd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
    pthread_t threads[THREADS];
    p = peer_from(argc, argv);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    close(tcp_connect(&p)); /* opens the descriptors that remain open */
    int before = open_descriptors();
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, run_thread, (void *)(intptr_t)i) == 0);
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

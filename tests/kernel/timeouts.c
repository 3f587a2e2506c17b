/* SO_SNDTIMEO ends a blocking connect() with EINPROGRESS. With SO_SNDTIMEO a signal ends connect() with EINTR even if
 * its handler has SA_RESTART. The connection attempt goes on in both cases. */
#include "kernel.h"
#include <signal.h>
#include <sys/time.h>

static void ignore_signal(int sig)
{
    (void)sig;
}

/* Fills the queue of the listener at TO, so that it accepts no more connections. */
static void fill_queue(const struct sockaddr_in *to)
{
    for (int i = 0; i < 16; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fd, (const struct sockaddr *)to, sizeof *to);
    }
}

static int get_connect_error(const struct sockaddr_in *to, struct timeval limit)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
    CHECK(connect(fd, (const struct sockaddr *)to, sizeof *to) == -1);
    int error = errno;
    CHECK(connect(fd, (const struct sockaddr *)to, sizeof *to) == -1 && errno == EALREADY);
    close(fd);
    return error;
}

int main(void)
{
    struct sockaddr_in to;
    struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
    struct itimerval soon = {.it_value = {0, 100000}};
    int listener = listen_on(&to);
    CHECK(listen(listener, 0) == 0);
    fill_queue(&to);
    CHECK(get_connect_error(&to, (struct timeval){0, 100000}) == EINPROGRESS);
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &soon, NULL) == 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {5, 0};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == -1 && errno == EINTR);
    return 0;
}

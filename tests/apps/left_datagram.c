/* The first datagram of a socket blocks. Its thread is cancelled. Then a signal handler jumps out of another such
 * call. Later datagrams must get through, on the same sockets and on others. */
#include "app.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

static struct peer target;
static sigjmp_buf outside;

static int send_one(int fd)
{
    return (int)sendto(fd, "x", 1, 0, peer_addr(&target), target.len);
}

static void *send_in_thread(void *fd)
{
    send_one(*(int *)fd);
    return NULL;
}

static void jump_out(int sig)
{
    (void)sig;
    siglongjmp(outside, 1);
}

static void check_echo(int fd)
{
    char got[4];
    CHECK(send_one(fd) == 1);
    wait_for(fd, POLLIN);
    CHECK(recv(fd, got, sizeof got, 0) == 1 && got[0] == 'x');
}

int main(int argc, char **argv)
{
    const struct timespec a_while = {0, 200000000};
    struct itimerval soon = {.it_value = {0, 200000}};
    pthread_t thread;
    target = peer_from(argc, argv);
    int fds[3];
    for (int i = 0; i < 3; i++)
        fds[i] = socket(target.family, SOCK_DGRAM, 0);
    signal(SIGALRM, jump_out);
    CHECK(pthread_create(&thread, NULL, send_in_thread, &fds[0]) == 0);
    nanosleep(&a_while, NULL);
    CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, NULL) == 0);
    if (sigsetjmp(outside, 1) == 0) {
        setitimer(ITIMER_REAL, &soon, NULL);
        send_one(fds[1]);
        FAIL("sendto() did not block");
    }
    for (int i = 0; i < 3; i++)
        check_echo(fds[i]);
    return 0;
}

/* The target stalls and a signal arrives. A blocking connect fails with EINTR and the connection attempt
 * continues. With SA_RESTART the call keeps waiting. */
#include "app.h"
#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void alarm_in(int us, int flags)
{
    struct sigaction act = {.sa_handler = count_signal, .sa_flags = flags};
    struct itimerval timer = {.it_value = {us / 1000000, us % 1000000}};
    signals = 0;
    CHECK(sigaction(SIGALRM, &act, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_socket(&p, 0);
    alarm_in(300000, 0);
    CHECK(connect(fd, peer_addr(&p), p.len) == -1);
    if (errno != EINTR || signals != 1)
        FAIL("without SA_RESTART");
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    CHECK(connect(fd, peer_addr(&p), p.len) == -1);
    if (errno != EALREADY)
        FAIL("the connection attempt did not continue");
    close(fd);

    pid_t pid = fork(); /* the child waits until it is killed */
    if (pid == 0) {
        fd = tcp_socket(&p, 0);
        alarm_in(300000, SA_RESTART);
        connect(fd, peer_addr(&p), p.len);
        FAIL("with SA_RESTART connect() returned");
    }
    usleep(1200000);
    int status;
    CHECK(waitpid(pid, &status, WNOHANG) == 0);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    return 0;
}

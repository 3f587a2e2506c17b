/* A timer's handler connects and sends datagrams, whatever it interrupts: first datagrams, connections, lookups.
 * Sometimes it jumps out of the interrupted call. Nothing may hang, and later connections and datagrams must
 * work. HOST runs a TCP echo service at PORT and a UDP echo service at port 7. */
#include "app.h"
#include <netdb.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

enum { ROUNDS = 400 };

static struct peer target, echoing;
static volatile sig_atomic_t runs, may_jump;
static sigjmp_buf outside;
static volatile int current_fd = -1;

static void handle_alarm(int sig)
{
    int saved = errno, run = runs++;
    (void)sig;
    int fd = socket(target.family, run % 2 ? SOCK_STREAM | SOCK_NONBLOCK : SOCK_DGRAM, 0);
    if (fd >= 0 && run % 2)
        connect(fd, peer_addr(&target), target.len);
    else if (fd >= 0)
        sendto(fd, "handler", 7, 0, peer_addr(&echoing), echoing.len);
    if (fd >= 0)
        close(fd);
    errno = saved;
    if (may_jump && run % 3 == 0) {
        may_jump = 0;
        siglongjmp(outside, 1);
    }
}

static void make_call(int round)
{
    struct addrinfo *found = NULL;
    char name[64];
    switch (round % 3) {
    case 0:
        current_fd = socket(target.family, SOCK_DGRAM, 0);
        may_jump = 1;
        sendto(current_fd, "x", 1, 0, peer_addr(&echoing), echoing.len);
        break;
    case 1:
        current_fd = socket(target.family, SOCK_STREAM, 0);
        may_jump = 1;
        connect(current_fd, peer_addr(&target), target.len);
        break;
    default: /* no jump out of the C library's own functions */
        snprintf(name, sizeof name, "name-%d.example", round);
        if (getaddrinfo(name, NULL, NULL, &found) == 0)
            freeaddrinfo(found);
    }
    may_jump = 0;
}

static void check_echo(void)
{
    char got[8];
    int fd = socket(target.family, SOCK_DGRAM, 0);
    CHECK(sendto(fd, "at last", 7, 0, peer_addr(&echoing), echoing.len) == 7);
    wait_for(fd, POLLIN);
    CHECK(recv(fd, got, sizeof got, 0) == 7 && memcmp(got, "at last", 7) == 0);
    close(fd);
    fd = tcp_connect(&target);
    echo(fd, "through");
    check_names(fd, &target);
    close(fd);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = handle_alarm, .sa_flags = SA_RESTART};
    target = peer_from(argc, argv);
    echoing = peer_of(argv[1], "7");
    sigaction(SIGALRM, &action, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        const struct itimerval soon = {.it_value = {0, 1 + round * 53 % 3000}}, never = {{0, 0}, {0, 0}};
        setitimer(ITIMER_REAL, &soon, NULL);
        if (sigsetjmp(outside, 1) == 0)
            make_call(round);
        may_jump = 0;
        setitimer(ITIMER_REAL, &never, NULL);
        if (current_fd >= 0)
            close(current_fd);
        current_fd = -1;
    }
    CHECK(runs > 10);
    signal(SIGALRM, SIG_IGN);
    check_echo();
    return 0;
}

/* A timer's handler connects and sends datagrams, whatever it interrupts: first datagrams, connections, lookups.
 * At times it jumps out of what it interrupts. Nothing hangs, and what comes after all that arrives. HOST PORT is a
 * target that echoes connections, and datagrams at port 7. */
#include "app.h"
#include <netdb.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

enum { ROUNDS = 400 };

static struct peer target, echoing;
static volatile sig_atomic_t runs, may_jump;
static sigjmp_buf outside;
static volatile int now = -1;

static void handler(int sig)
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

static void work(int round)
{
    struct addrinfo *found = NULL;
    char name[64];
    switch (round % 3) {
    case 0:
        now = socket(target.family, SOCK_DGRAM, 0);
        may_jump = 1;
        sendto(now, "x", 1, 0, peer_addr(&echoing), echoing.len);
        break;
    case 1:
        now = socket(target.family, SOCK_STREAM, 0);
        may_jump = 1;
        connect(now, peer_addr(&target), target.len);
        break;
    default: /* libc's memory is no place to jump out of */
        snprintf(name, sizeof name, "name-%d.example", round);
        if (getaddrinfo(name, NULL, NULL, &found) == 0)
            freeaddrinfo(found);
    }
    may_jump = 0;
}

static void comes_back(void)
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
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    target = peer_from(argc, argv);
    echoing = peer_of(argv[1], "7");
    sigaction(SIGALRM, &action, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        const struct itimerval soon = {.it_value = {0, 1 + round * 53 % 3000}}, never = {{0, 0}, {0, 0}};
        setitimer(ITIMER_REAL, &soon, NULL);
        if (sigsetjmp(outside, 1) == 0)
            work(round);
        may_jump = 0;
        setitimer(ITIMER_REAL, &never, NULL);
        if (now >= 0)
            close(now);
        now = -1;
    }
    CHECK(runs > 10);
    signal(SIGALRM, SIG_IGN);
    comes_back();
    return 0;
}

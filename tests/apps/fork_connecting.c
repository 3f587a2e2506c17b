/* Forks while non-blocking connects are in flight. The parent finishes them. The children ignore or close them
 * and make their own. No connection may be lost. */
#include "app.h"

#define ROUNDS 8
#define MANY   10

static void check_connected(int fd, const struct peer *p, const char *text)
{
    wait_for(fd, POLLOUT);
    int error = so_error(fd);
    if (error != 0)
        FAIL("the %s lost a connection: %s", text, strerrorname_np(error));
    check_names(fd, p);
    echo(fd, text);
}

static void run_child(const struct peer *p, const int *fds, int round)
{
    if (round & 1)
        for (int i = 0; i < MANY; i++)
            close(fds[i]);
    int own[MANY];
    for (int i = 0; i < MANY; i++)
        own[i] = tcp_begin(p);
    for (int i = 0; i < MANY; i++)
        check_connected(own[i], p, "child");
    exit(0);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    pid_t pids[ROUNDS];
    int fds[ROUNDS][MANY];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < MANY; i++)
            fds[round][i] = tcp_begin(&p);
        pids[round] = fork();
        if (pids[round] == 0)
            run_child(&p, fds[round], round);
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < MANY; i++)
            check_connected(fds[round][i], &p, "parent");
    for (int round = 0; round < ROUNDS; round++)
        child_ends(pids[round]);
    return 0;
}

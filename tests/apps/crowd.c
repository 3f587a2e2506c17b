/* One socket among hundreds in poll() and select(): a connection that begins, and a listener that the
 * far end of it is told of and calls. PORT is of one who reads "ADDRESS PORT" and calls there. */
#include "app.h"
#include <sys/select.h>

enum { OTHERS = 400 };

static struct pollfd crowd[OTHERS + 1];

/* Pipes that nobody writes to, with FD behind them. */
static void gather(int fd, short events)
{
    static int silent[2];
    if (!silent[1])
        CHECK(pipe(silent) == 0);
    for (int i = 0; i < OTHERS; i++)
        if (!crowd[i].events)
            crowd[i] = (struct pollfd){.fd = dup(silent[0]), .events = POLLIN};
    crowd[OTHERS] = (struct pollfd){.fd = fd, .events = events};
}

static void polled(int fd, short events)
{
    gather(fd, events);
    CHECK(poll(crowd, OTHERS + 1, 20000) == 1);
    for (int i = 0; i < OTHERS; i++)
        CHECK(crowd[i].revents == 0);
    CHECK(crowd[OTHERS].revents & events);
}

static void selected(int fd, short events)
{
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    for (int i = 0; i < OTHERS; i++)
        FD_SET(crowd[i].fd, &in);
    FD_SET(fd, events == POLLIN ? &in : &out);
    CHECK(select(FD_SETSIZE, &in, &out, NULL, NULL) == 1);
    CHECK(FD_ISSET(fd, events == POLLIN ? &in : &out));
}

static void wrong(int fd)
{
    struct timeval limit = {-1, 0};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(fd, &in);
    CHECK(select(fd + 1, &in, NULL, NULL, &limit) == -1 && errno == EINVAL);
    CHECK(select(-1, &in, NULL, NULL, NULL) == -1 && errno == EINVAL);
    volatile nfds_t most = 1U << 30;
    CHECK(poll(crowd, most, 0) == -1 && errno == EINVAL);
}

/* The one behind CONTROL hears where FD listens; where that is any address, at the one of CONTROL. */
static void tell(int control, int fd)
{
    struct sockaddr_in own, near;
    socklen_t len = sizeof own;
    char text[64], host[INET_ADDRSTRLEN];
    CHECK(getsockname(control, (struct sockaddr *)&near, &len) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&own, &len) == 0);
    if (own.sin_addr.s_addr == INADDR_ANY)
        own.sin_addr = near.sin_addr;
    inet_ntop(AF_INET, &own.sin_addr, host, sizeof host);
    snprintf(text, sizeof text, "%s %u\n", host, ntohs(own.sin_port));
    CHECK(write(control, text, strlen(text)) == (ssize_t)strlen(text));
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    char text[128];
    gather(-1, 0);
    int other = tcp_begin(&p);
    polled(other, POLLOUT);
    CHECK(so_error(other) == 0);
    int control = tcp_begin(&p);
    wrong(control);
    selected(control, POLLOUT);
    CHECK(so_error(control) == 0);

    int fd = tcp_socket(&p, 0);
    CHECK(listen(fd, 5) == 0);
    wrong(fd);
    for (int turn = 0; turn < 2; turn++) {
        int from = turn ? other : control;
        tell(from, fd);
        if (turn)
            selected(fd, POLLIN);
        else
            polled(fd, POLLIN);
        int peer = accept(fd, NULL, NULL);
        CHECK(peer >= 0 && read(peer, text, sizeof text) > 0);
        close(peer);
    }
    return 0;
}

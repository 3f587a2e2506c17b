/* One socket among hundreds in poll() and select(): a connection in flight, then a listener whose address is sent
 * to the peer, which connects to it. The service at PORT reads lines of the form "ADDRESS PORT" and connects
 * there. */
#include "app.h"
#include <sys/select.h>

enum { OTHERS = 400 };

static struct pollfd crowd[OTHERS + 1];

/* Fills the array with pipes that are never written to, followed by FD. */
static void fill_crowd(int fd, short events)
{
    static int silent[2];
    if (!silent[1])
        CHECK(pipe(silent) == 0);
    for (int i = 0; i < OTHERS; i++)
        if (!crowd[i].events)
            crowd[i] = (struct pollfd){.fd = dup(silent[0]), .events = POLLIN};
    crowd[OTHERS] = (struct pollfd){.fd = fd, .events = events};
}

static void check_poll(int fd, short events)
{
    fill_crowd(fd, events);
    CHECK(poll(crowd, OTHERS + 1, 20000) == 1);
    for (int i = 0; i < OTHERS; i++)
        CHECK(crowd[i].revents == 0);
    CHECK(crowd[OTHERS].revents & events);
}

static void check_select(int fd, short events)
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

static void check_invalid(int fd)
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

/* Sends the address of the listener FD to the service behind CONTROL. If FD listens on any address, the local
 * address of CONTROL is sent. */
static void send_address(int control, int fd)
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
    fill_crowd(-1, 0);
    int other = tcp_begin(&p);
    check_poll(other, POLLOUT);
    CHECK(so_error(other) == 0);
    int control = tcp_begin(&p);
    check_invalid(control);
    check_select(control, POLLOUT);
    CHECK(so_error(control) == 0);

    int fd = tcp_socket(&p, 0);
    CHECK(listen(fd, 5) == 0);
    check_invalid(fd);
    for (int round = 0; round < 2; round++) {
        int from = round ? other : control;
        send_address(from, fd);
        if (round)
            check_select(fd, POLLIN);
        else
            check_poll(fd, POLLIN);
        int peer = accept(fd, NULL, NULL);
        CHECK(peer >= 0 && read(peer, text, sizeof text) > 0);
        close(peer);
    }
    return 0;
}

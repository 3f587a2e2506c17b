/* The first octet of TCP_INFO is the state. Reading only this octet does not clear the pending error. A refused socket
 * reports POLLERR until the error is read. */
#include "kernel.h"

static uint8_t get_state(int fd)
{
    uint8_t state = 0;
    socklen_t len = sizeof state;
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &len) == 0 && len == 1);
    return state;
}

int main(void)
{
    struct sockaddr_in to;
    int listener = listen_on(&to), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(get_state(fd) == TCP_CLOSE);
    connect_and_wait(fd, &to);
    CHECK(get_state(fd) == TCP_ESTABLISHED);
    close(fd);
    close(listener);

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct pollfd p = {fd, POLLOUT, 0};
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == -1 && errno == EINPROGRESS);
    CHECK(poll(&p, 1, 5000) == 1 && get_state(fd) == TCP_CLOSE);
    CHECK(poll(&p, 1, 0) == 1 && p.revents & POLLERR);
    CHECK(get_error(fd) == ECONNREFUSED && get_error(fd) == 0);
    CHECK(poll(&p, 1, 0) == 1 && !(p.revents & POLLERR) && p.revents & POLLHUP);
    return 0;
}

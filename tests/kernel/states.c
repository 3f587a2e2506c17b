/* The first octet of TCP_INFO is the state, and asking for it alone leaves the pending error where it
 * is; a refused socket shows POLLERR until that error is fetched. */
#include "kernel.h"

static uint8_t state_of(int fd)
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
    CHECK(state_of(fd) == TCP_CLOSE);
    connect_now(fd, &to);
    CHECK(state_of(fd) == TCP_ESTABLISHED);
    close(fd);
    close(listener);

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct pollfd p = {fd, POLLOUT, 0};
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == -1 && errno == EINPROGRESS);
    CHECK(poll(&p, 1, 5000) == 1 && state_of(fd) == TCP_CLOSE);
    CHECK(poll(&p, 1, 0) == 1 && p.revents & POLLERR);
    CHECK(error_of(fd) == ECONNREFUSED && error_of(fd) == 0);
    CHECK(poll(&p, 1, 0) == 1 && !(p.revents & POLLERR) && p.revents & POLLHUP);
    return 0;
}

/* Options set on a socket before connect keep their values, and the socket remains the same one. */
#include "app.h"

static const struct {
    int level, name, value;
} set[] = {
    {SOL_SOCKET, SO_KEEPALIVE, 1},     {IPPROTO_TCP, TCP_NODELAY, 1},
    {SOL_SOCKET, SO_RCVBUF, 65536},    {IPPROTO_TCP, TCP_KEEPIDLE, 77},
    {IPPROTO_TCP, TCP_SYNCNT, 3},      {SOL_SOCKET, SO_OOBINLINE, 1},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, 9999},
};
#define N (sizeof(set) / sizeof(set[0]))

static uint64_t get_cookie(int fd)
{
    uint64_t value = 0;
    socklen_t len = sizeof(value);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &value, &len) == 0);
    return value;
}

static int get_option(int fd, size_t i)
{
    int value = -1;
    socklen_t len = sizeof(value);
    CHECK(getsockopt(fd, set[i].level, set[i].name, &value, &len) == 0);
    return value;
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    for (int nonblock = 0; nonblock < 2; nonblock++) {
        int fd = tcp_socket(&p, SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0)), before[N];
        int twin = dup(fd), flags = fcntl(fd, F_GETFL);
        uint64_t same = get_cookie(fd);
        for (size_t i = 0; i < N; i++) {
            CHECK(setsockopt(fd, set[i].level, set[i].name, &set[i].value, sizeof(int)) == 0);
            before[i] = get_option(fd, i);
        }
        int r = connect(fd, peer_addr(&p), p.len);
        CHECK(nonblock ? r == -1 && errno == EINPROGRESS : r == 0);
        CHECK(fcntl(fd, F_GETFL) == flags);
        wait_for(fd, POLLOUT);
        CHECK(so_error(fd) == 0);
        CHECK(fcntl(fd, F_GETFL) == flags && fcntl(fd, F_GETFD) == FD_CLOEXEC);
        CHECK(get_cookie(fd) == same && get_cookie(twin) == same);
        for (size_t i = 0; i < N; i++)
            if (get_option(fd, i) != before[i])
                FAIL("option %zu was %d, is %d", i, before[i], get_option(fd, i));
        check_names(twin, &p);
        echo(twin, "kept");
        close(fd);
        close(twin);
    }
    return 0;
}

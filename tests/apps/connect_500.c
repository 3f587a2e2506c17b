/* 500 concurrent connects in one epoll loop. Prints the duration of the longest connect() call. No iteration of
 * the loop may block on one of them. */
#include "app.h"
#include <sys/epoll.h>
#include <sys/resource.h>

#define MANY 500

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);

    int ep = epoll_create1(0), done = 0, fds[MANY];
    int64_t longest = 0;
    for (int i = 0; i < MANY; i++) {
        fds[i] = tcp_socket(&p, SOCK_NONBLOCK);
        int64_t before = now_us();
        int r = connect(fds[i], peer_addr(&p), p.len), error = errno;
        int64_t took = now_us() - before;
        longest = took > longest ? took : longest;
        errno = error;
        if (r != -1 || errno != EINPROGRESS)
            FAIL("connect %d", i);
        struct epoll_event e = {.events = EPOLLOUT | EPOLLET, .data.u32 = (uint32_t)i};
        CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &e) == 0);
    }
    bool seen[MANY] = {false};
    for (int64_t end = now_us() + 60000000; done < MANY && now_us() < end;) {
        struct epoll_event got[64];
        int n = epoll_wait(ep, got, 64, 1000);
        CHECK(n >= 0);
        for (int k = 0; k < n; k++) {
            uint32_t i = got[k].data.u32;
            int error = so_error(fds[i]);
            if (got[k].events != EPOLLOUT || seen[i] || error != 0)
                FAIL("connection %u: events %#x, SO_ERROR %d, seen %d", i, got[k].events, error, seen[i]);
            seen[i] = true;
            done++;
        }
    }
    if (done != MANY)
        FAIL("%d of %d", done, MANY);
    echo(fds[0], "first");
    echo(fds[MANY - 1], "last");
    printf("longest connect: %lld us\n", (long long)longest);
    if (longest > 500000)
        FAIL("a connect took %lld us", (long long)longest);
    return 0;
}

#include "await.h"
#include <errno.h>
#include <poll.h>
#include <time.h>

int64_t s5_api_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int s5_api_await(int fd, short events, int64_t until)
{
    for (;;) {
        int64_t left = until - s5_api_now();
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, left > 0 ? (int)left : 0);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0 && s5_api_now() >= until)
            return -ETIMEDOUT;
    }
}

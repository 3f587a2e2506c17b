/* The target stalls. A blocking connect ends when SO_SNDTIMEO expires. */
#include "app.h"
#include <sys/time.h>

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_socket(&p, 0);
    struct timeval limit = {0, 700000};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0);
    int64_t since = now_us();
    int r = connect(fd, peer_addr(&p), p.len), error = errno;
    int64_t ms = (now_us() - since) / 1000;
    errno = error;
    if (r != -1 || errno != EINPROGRESS)
        FAIL("connect returned %d", r);
    if (ms < 600 || ms > 6000)
        FAIL("it took %lld ms", (long long)ms);
    since = now_us();
    CHECK(connect(fd, peer_addr(&p), p.len) == -1);
    if (errno != EALREADY && errno != EINPROGRESS)
        FAIL("the second connect");
    return 0;
}

/* SO_COOKIE names a socket: the same through every descriptor of it, another one for another socket
 * under the same number. Anything else has none. */
#include "kernel.h"

int main(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), twin = dup(fd), pair[2];
    uint64_t first = cookie_of(fd), other;
    socklen_t len = sizeof other;
    CHECK(cookie_of(twin) == first);
    close(fd);
    CHECK(socket(AF_INET, SOCK_STREAM, 0) == fd && cookie_of(fd) != first);
    CHECK(cookie_of(twin) == first);
    CHECK(pipe(pair) == 0);
    CHECK(getsockopt(pair[0], SOL_SOCKET, SO_COOKIE, &other, &len) == -1 && errno == ENOTSOCK);
    return 0;
}

/* SO_COOKIE identifies a socket. It is the same through every descriptor of the socket, and differs for another socket
 * with the same descriptor number. Descriptors of other files have none. */
#include "kernel.h"

int main(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), twin = dup(fd), pair[2];
    uint64_t first = get_cookie(fd), other;
    socklen_t len = sizeof other;
    CHECK(get_cookie(twin) == first);
    close(fd);
    CHECK(socket(AF_INET, SOCK_STREAM, 0) == fd && get_cookie(fd) != first);
    CHECK(get_cookie(twin) == first);
    CHECK(pipe(pair) == 0);
    CHECK(getsockopt(pair[0], SOL_SOCKET, SO_COOKIE, &other, &len) == -1 && errno == ENOTSOCK);
    return 0;
}

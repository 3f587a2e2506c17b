/* A non-blocking connect that is waited for with select and pselect. */
#include "app.h"
#include <sys/select.h>

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    for (int round = 0; round < 2; round++) {
        int fd = tcp_begin(&p);
        fd_set in, out, ex;
        FD_ZERO(&in);
        FD_ZERO(&out);
        FD_ZERO(&ex);
        FD_SET(fd, &in);
        FD_SET(fd, &out);
        FD_SET(fd, &ex);
        struct timeval limit = {20, 0};
        struct timespec limit2 = {20, 0};
        int n = round ? pselect(fd + 1, &in, &out, &ex, &limit2, NULL)
                      : select(fd + 1, &in, &out, &ex, &limit);
        if (n != 1 || FD_ISSET(fd, &in) || !FD_ISSET(fd, &out) || FD_ISSET(fd, &ex))
            FAIL("select returned %d", n);
        CHECK(so_error(fd) == 0);
        check_names(fd, &p);
        echo(fd, "selected");
        close(fd);
    }
    return 0;
}

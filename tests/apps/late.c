/* Starts a connect and polls it only 3 s later. The connection must be established. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_begin(&p);
    sleep(3);
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    check_names(fd, &p);
    return 0;
}

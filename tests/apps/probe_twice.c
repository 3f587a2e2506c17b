/* Starts one connection, makes a second one meanwhile, and then finishes the first. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int first = tcp_begin(&p), second = tcp_connect(&p);
    wait_for(first, POLLOUT);
    CHECK(so_error(first) == 0);
    check_names(first, &p);
    check_names(second, &p);
    puts("ok");
    return 0;
}

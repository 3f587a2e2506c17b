/* Calls connect and sendto by their numbers, through libc's syscall(). */
#include "app.h"
#include <sys/syscall.h>

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_socket(&p, 0);
    CHECK(syscall(SYS_connect, fd, peer_addr(&p), p.len) == 0);
    check_names(fd, &p);
    echo(fd, "by number");
    fd = tcp_socket(&p, 0);
    ssize_t r = syscall(SYS_sendto, fd, "fast", 4, MSG_FASTOPEN, peer_addr(&p), p.len);
    char back[8];
    if (r == 4)
        CHECK(recv(fd, back, 4, MSG_WAITALL) == 4 && memcmp(back, "fast", 4) == 0);
    return 0;
}

/* A connection survives an exec. The new program still sees the true address of the peer. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    if (argc > 3) {
        int fd = atoi(argv[3]);
        check_names(fd, &p);
        echo(fd, "behind the exec");
        int second = tcp_connect(&p);
        echo(second, "a new one behind the exec");
        return 0;
    }
    int fd = tcp_connect(&p);
    echo(fd, "before the exec");
    char number[16];
    snprintf(number, sizeof(number), "%d", fd);
    execl("/proc/self/exe", argv[0], argv[1], argv[2], number, (char *)NULL);
    FAIL("exec");
}

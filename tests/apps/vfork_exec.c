/* vfork and exec while connections are open. The connections of the parent do not change. The child has one of
 * them as its standard input. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    if (argc > 3) {
        check_names(0, &p);
        echo(0, "the child");
        return 0;
    }
    int fd = tcp_connect(&p), pending = tcp_begin(&p), open_[8];
    for (int i = 0; i < 8; i++)
        open_[i] = tcp_connect(&p);
    pid_t pid = vfork();
    if (pid == 0) {
        dup2(fd, 0);
        for (int i = 3; i < 64; i++)
            close(i);
        execl("/proc/self/exe", argv[0], argv[1], argv[2], "child", (char *)NULL);
        _exit(99);
    }
    child_ends(pid);
    check_names(fd, &p);
    echo(fd, "the parent");
    wait_for(pending, POLLOUT);
    CHECK(so_error(pending) == 0);
    echo(pending, "the one under way");
    for (int i = 0; i < 8; i++) {
        check_names(open_[i], &p);
        echo(open_[i], "the others");
    }
    return 0;
}

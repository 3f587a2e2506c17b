/* A connect is started and the process forks. The parent closes its descriptor and the child finishes the
 * connection. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    for (int i = 0; i < 5; i++) {
        int fd = tcp_begin(&p);
        pid_t pid = fork();
        if (pid == 0) {
            wait_for(fd, POLLOUT);
            CHECK(so_error(fd) == 0);
            check_names(fd, &p);
            echo(fd, "the child finished it");
            exit(0);
        }
        close(fd);
        child_ends(pid);
    }
    return 0;
}

/* A connection made before a fork works in both processes. Each of them then makes a new one. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_connect(&p);
    pid_t pid = fork();
    if (pid == 0) {
        check_names(fd, &p);
        echo(fd, "the child on the old one");
        int own = tcp_connect(&p);
        echo(own, "the child on its own");
        exit(0);
    }
    child_ends(pid);
    check_names(fd, &p);
    echo(fd, "the parent on the old one");
    close(fd);
    fd = tcp_connect(&p);
    check_names(fd, &p);
    echo(fd, "the parent on its own");
    return 0;
}

/* A server on loopback and on all addresses works, in one process and across a fork. */
#include "app.h"

static void check_server(const char *at)
{
    struct peer me = peer_of(at, "0");
    int on = tcp_socket(&me, 0);
    CHECK(bind(on, peer_addr(&me), me.len) == 0);
    CHECK(listen(on, 8) == 0);
    CHECK(getsockname(on, (struct sockaddr *)&me.addr, &me.len) == 0);
    struct peer to = peer_of(me.family == AF_INET ? "127.0.0.1" : "::1", "0");
    ((struct sockaddr_in *)&to.addr)->sin_port = ((struct sockaddr_in *)&me.addr)->sin_port;
    pid_t pid = fork();
    if (pid == 0) {
        int fd = tcp_connect(&to);
        check_names(fd, &to);
        echo(fd, "local");
        exit(0);
    }
    struct peer from = {.len = sizeof(from.addr)};
    int fd = accept4(on, (struct sockaddr *)&from.addr, &from.len, SOCK_CLOEXEC);
    char text[32];
    CHECK(fd >= 0 && ((struct sockaddr_in *)&from.addr)->sin_port != 0);
    ssize_t n = read(fd, text, sizeof(text));
    CHECK(n > 0 && write(fd, text, (size_t)n) == n);
    child_ends(pid);
    close(fd);
    close(on);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    check_server("127.0.0.1");
    check_server("::1");
    check_server("0.0.0.0");
    check_server("::");
    int fd = tcp_connect(&p);
    echo(fd, "and out");
    return 0;
}

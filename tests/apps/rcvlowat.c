/* A socket with a high SO_RCVLOWAT connects like any other and keeps the value: in this program, in a child, in
 * another program that inherits the socket, and when it is set during the connect. */
#include "app.h"

enum { LOW = 300, OTHER = 200 };

static struct peer target;

static int low_water(int fd)
{
    int value = 0;
    socklen_t len = sizeof value;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, &len) == 0 && len == sizeof value);
    return value;
}

static void set_low_water(int fd, int value)
{
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value) == 0);
}

/* The socket becomes readable with VALUE octets, and not with fewer. */
static void check_low_water(int fd, int value)
{
    char text[LOW], back[LOW];
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(low_water(fd) == value);
    memset(text, 'x', sizeof text);
    wait_for(fd, POLLOUT);
    CHECK(write(fd, text, 10) == 10);
    CHECK(poll(&p, 1, 200) == 0);
    CHECK(write(fd, text, (size_t)value - 10) == value - 10);
    wait_for(fd, POLLIN);
    CHECK(recv(fd, back, (size_t)value, MSG_WAITALL) == value && memcmp(back, text, (size_t)value) == 0);
    close(fd);
}

static void connect_and_check(int fd)
{
    CHECK(connect(fd, peer_addr(&target), target.len) == 0);
    check_low_water(fd, LOW);
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    if (argc > 3) {
        connect_and_check(atoi(argv[3]));
        return 0;
    }
    for (int way = 0; way < 3; way++) {
        int fd = tcp_socket(&target, 0);
        char number[16];
        set_low_water(fd, LOW);
        snprintf(number, sizeof number, "%d", fd);
        pid_t pid = way ? fork() : -1;
        if (way == 1 && pid == 0)
            connect_and_check(fd);
        else if (pid == 0)
            execl("/proc/self/exe", argv[0], argv[1], argv[2], number, (char *)NULL);
        else if (way == 0)
            connect_and_check(fd);
        if (pid == 0)
            exit(0);
        if (way) {
            child_ends(pid);
            close(fd);
        }
    }
    int fd = tcp_socket(&target, SOCK_NONBLOCK);
    set_low_water(fd, LOW);
    CHECK(connect(fd, peer_addr(&target), target.len) == -1 && errno == EINPROGRESS);
    CHECK(low_water(fd) == LOW);
    set_low_water(fd, OTHER);
    CHECK(low_water(fd) == OTHER);
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    check_low_water(fd, OTHER);
    return 0;
}

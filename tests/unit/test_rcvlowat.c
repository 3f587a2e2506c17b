/* A socket whose SO_RCVLOWAT exceeds the size of a server's reply connects like any other. The program always
 * sees the value that it has set. */
#include "fake_world.h"
#include "query.h"
#include "fd_ops.h"
#include "connect.h"
#include "bind.h"

enum { LOW = 500, OTHER = 700 };

static struct scene scene;

static void set_low_water(struct s5_engine *e, int fd, int value)
{
    cr_assert_eq(s5_setsockopt(e, fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value), 0);
}

/* Returns the value that the program sees. kernel_low_water() returns that of the kernel. */
static int low_water(struct s5_engine *e, int fd)
{
    int value = -1;
    socklen_t len = sizeof value;
    cr_assert_eq(s5_getsockopt(e, fd, SOL_SOCKET, SO_RCVLOWAT, &value, &len), 0);
    cr_assert_eq(len, sizeof value);
    return value;
}

static int kernel_low_water(int fd)
{
    int value = -1;
    socklen_t len = sizeof value;
    fake_calls.getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, &len);
    return value;
}

static int connect_target(struct s5_engine *e, int fd)
{
    struct sockaddr_in to = target(80);
    return s5_connect(e, fd, (struct sockaddr *)&to, sizeof to);
}

static void close_and_check(struct s5_engine *e, int fd)
{
    cr_assert_eq(s5_close(e, fd), 0);
    check_clean(e, "low water");
}

static void set_case(struct s5_engine *e, enum pipeline pipeline, enum way way, size_t at)
{
    scene = (struct scene){.command = S5_CONNECT, .pipeline = pipeline, .way = way, .at = at};
    set_scene(e, &scene);
}

Test(rcvlowat, a_blocking_connect)
{
    struct s5_engine *e = fake_engine();
    for (enum pipeline pipeline = 0; pipeline < PIPELINES; pipeline++) {
        set_case(e, pipeline, GOOD, 12);
        int fd = fake_socket(AF_INET, SOCK_STREAM);
        set_low_water(e, fd, LOW);
        uint64_t begun = fake_net.now;
        cr_assert_eq(connect_target(e, fd), 0);
        /* The wait is woken by the server's octets, and does not depend on polling at intervals. */
        cr_assert_lt(fake_net.now - begun, S5_POLL_INTERVAL / 2);
        cr_assert_eq(low_water(e, fd), LOW);
        cr_assert_eq(kernel_low_water(fd), LOW);
        close_and_check(e, fd);
    }
    end_engine(e);
}

Test(rcvlowat, a_value_set_while_it_connects)
{
    struct s5_engine *e = fake_engine();
    struct timespec limit = milliseconds(LONG_WAIT);
    set_case(e, OFF, GOOD, 12);
    int fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    set_low_water(e, fd, LOW);
    cr_assert_eq(connect_target(e, fd), -EINPROGRESS);
    cr_assert_eq(low_water(e, fd), LOW);
    set_low_water(e, fd, OTHER);
    cr_assert_eq(low_water(e, fd), OTHER);
    cr_assert_eq(kernel_low_water(fd), 1);
    struct pollfd p = {fd, POLLOUT, 0};
    cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 1);
    cr_assert_eq(low_water(e, fd), OTHER);
    cr_assert_eq(kernel_low_water(fd), OTHER);
    close_and_check(e, fd);
    /* A socket that had no value before. */
    set_case(e, OFF, GOOD, 12);
    fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    cr_assert_eq(connect_target(e, fd), -EINPROGRESS);
    set_low_water(e, fd, OTHER);
    p = (struct pollfd){fd, POLLOUT, 0};
    cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 1);
    cr_assert_eq(kernel_low_water(fd), OTHER);
    close_and_check(e, fd);
    end_engine(e);
}

Test(rcvlowat, a_connection_that_fails)
{
    struct s5_engine *e = fake_engine();
    for (enum way way = CLOSE; way < WAYS; way++)
        for (size_t at = 0; at < 12; at++) {
            set_case(e, AUTO, way, at);
            int fd = fake_socket(AF_INET, SOCK_STREAM);
            set_low_water(e, fd, LOW);
            connect_target(e, fd); /* garbage may be a valid reply */
            cr_assert_eq(low_water(e, fd), LOW);
            cr_assert_eq(kernel_low_water(fd), LOW);
            close_and_check(e, fd);
        }
    end_engine(e);
}

Test(rcvlowat, a_connection_that_is_given_up)
{
    struct s5_engine *e = fake_engine();
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    for (int way = 0; way < 2; way++) {
        set_case(e, ON, STALL, 0);
        int fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
        set_low_water(e, fd, LOW);
        cr_assert_eq(connect_target(e, fd), -EINPROGRESS);
        cr_assert_eq(way ? s5_shutdown(e, fd, SHUT_RDWR) : s5_connect(e, fd, &none, sizeof none), 0);
        cr_assert_eq(low_water(e, fd), LOW);
        cr_assert_eq(kernel_low_water(fd), LOW);
        close_and_check(e, fd);
    }
    end_engine(e);
}

/* A socket with a SO_RCVLOWAT above what a server says connects like any other, and has its value all the
 * time as far as the program can tell. */
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

/* What the program is told; and what the kernel has. */
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

static int connects(struct s5_engine *e, int fd)
{
    struct sockaddr_in to = target(80);
    return s5_connect(e, fd, (struct sockaddr *)&to, sizeof to);
}

static void done(struct s5_engine *e, int fd)
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
        cr_assert_eq(connects(e, fd), 0);
        /* Woken by the server's octets, not by looking for them now and then. */
        cr_assert_lt(fake_net.now - begun, S5_POLL_INTERVAL / 2);
        cr_assert_eq(low_water(e, fd), LOW);
        cr_assert_eq(kernel_low_water(fd), LOW);
        done(e, fd);
    }
    end_engine(e);
}

Test(rcvlowat, a_value_set_while_it_connects)
{
    struct s5_engine *e = fake_engine();
    struct timespec limit = milliseconds(PATIENCE);
    set_case(e, OFF, GOOD, 12);
    int fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    set_low_water(e, fd, LOW);
    cr_assert_eq(connects(e, fd), -EINPROGRESS);
    cr_assert_eq(low_water(e, fd), LOW);
    set_low_water(e, fd, OTHER);
    cr_assert_eq(low_water(e, fd), OTHER);
    cr_assert_eq(kernel_low_water(fd), 1);
    struct pollfd p = {fd, POLLOUT, 0};
    cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 1);
    cr_assert_eq(low_water(e, fd), OTHER);
    cr_assert_eq(kernel_low_water(fd), OTHER);
    done(e, fd);
    /* And one that had none before. */
    set_case(e, OFF, GOOD, 12);
    fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    cr_assert_eq(connects(e, fd), -EINPROGRESS);
    set_low_water(e, fd, OTHER);
    p = (struct pollfd){fd, POLLOUT, 0};
    cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 1);
    cr_assert_eq(kernel_low_water(fd), OTHER);
    done(e, fd);
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
            connects(e, fd); /* garbage may be a good answer */
            cr_assert_eq(low_water(e, fd), LOW);
            cr_assert_eq(kernel_low_water(fd), LOW);
            done(e, fd);
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
        cr_assert_eq(connects(e, fd), -EINPROGRESS);
        cr_assert_eq(way ? s5_shutdown(e, fd, SHUT_RDWR) : s5_connect(e, fd, &none, sizeof none), 0);
        cr_assert_eq(low_water(e, fd), LOW);
        cr_assert_eq(kernel_low_water(fd), LOW);
        done(e, fd);
    }
    end_engine(e);
}

/* shutdown() of a connection in flight acts as it does while the kernel connects: the attempt ends with
 * ECONNRESET, and the next connect() starts a new one. */
#include "fake_world.h"
#include "query.h"
#include "fd_ops.h"
#include "connect.h"
#include "bind.h"

static int begin_connect(struct s5_engine *e, int *ret_fd)
{
    struct sockaddr_in to = target(80);
    *ret_fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    return s5_connect(e, *ret_fd, (struct sockaddr *)&to, sizeof to);
}

/* At every octet before the last one of the server's replies. */
Test(shutdown, ends_a_negotiation_at_every_octet)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.command = S5_CONNECT, .way = STALL};
    struct timespec a_while = milliseconds(A_WHILE), none = {0, 0};
    struct sockaddr_in to = target(80);
    for (s.pipeline = 0; s.pipeline < PIPELINES; s.pipeline++)
        for (s.at = 0; s.at < whole_size(&s); s.at++)
            for (int how = SHUT_RD; how <= SHUT_RDWR; how++)
                for (int waited = 0; waited < 2; waited++) {
                    int fd, error = 0;
                    socklen_t len = sizeof error;
                    set_scene(e, &s);
                    cr_assert_eq(begin_connect(e, &fd), -EINPROGRESS);
                    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
                    if (waited)
                        cr_assert_eq(s5_wait_poll(e, &p, 1, &a_while, NULL), 0);
                    cr_assert_eq(s5_shutdown(e, fd, how), 0);
                    cr_assert_eq(s5_wait_poll(e, &p, 1, &none, NULL), 1);
                    cr_assert(p.revents & POLLHUP && p.revents & POLLERR, "%#x", p.revents);
                    if (how == SHUT_RD) /* whether the error was read or not, the next connect() is a new attempt */
                        cr_assert_eq(s5_getsockopt(e, fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
                    cr_assert_eq(error, how == SHUT_RD ? ECONNRESET : 0);
                    cr_assert_eq(s5_connect(e, fd, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
                    cr_assert_eq(s5_close(e, fd), 0);
                    check_clean(e, "shutdown");
                }
    end_engine(e);
}

Test(shutdown, of_an_established_connection_is_passed_to_the_kernel)
{
    struct s5_engine *e = fake_engine();
    struct scene s = {.command = S5_CONNECT, .way = GOOD};
    struct timespec limit = milliseconds(LONG_WAIT);
    int fd;
    s.at = whole_size(&s);
    set_scene(e, &s);
    cr_assert_eq(begin_connect(e, &fd), -EINPROGRESS);
    struct pollfd p = {fd, POLLOUT, 0};
    cr_assert_eq(s5_wait_poll(e, &p, 1, &limit, NULL), 1);
    cr_assert_eq(s5_shutdown(e, fd, SHUT_WR), 0);
    cr_assert(fake_net.peers[0].ended);
    cr_assert_eq(s5_close(e, fd), 0);
    check_clean(e, "connected");
    end_engine(e);
}

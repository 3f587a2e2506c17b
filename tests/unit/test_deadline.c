/* "timeout" limits the whole attempt: the connection to the server and all of its replies. */
#include "fake_world.h"
#include "query.h"
#include "fd_ops.h"
#include "connect.h"

static struct scene scene;

static int begin_connect(struct s5_engine *e, enum pipeline pipeline, enum way way, size_t at)
{
    struct sockaddr_in to = target(80);
    scene = (struct scene){.command = S5_CONNECT, .pipeline = pipeline, .way = way, .at = at};
    set_scene(e, &scene);
    fake_net.dial = FAKE_SILENCE;
    int fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    cr_assert_eq(s5_connect(e, fd, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
    return fd;
}

/* True if FD is ready within SECONDS. */
static bool is_ready(struct s5_engine *e, int fd, unsigned seconds)
{
    struct timespec limit = {seconds, 0};
    struct pollfd p = {fd, POLLOUT, 0};
    return s5_wait_poll(e, &p, 1, &limit, NULL) == 1;
}

static int get_error(struct s5_engine *e, int fd)
{
    int error = -1;
    socklen_t len = sizeof error;
    cr_assert_eq(s5_getsockopt(e, fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    return error;
}

static void close_and_check(struct s5_engine *e, int fd)
{
    cr_assert_eq(s5_close(e, fd), 0);
    check_clean(e, "deadline");
}

/* A server that is reached late has only the rest of the time for its reply. */
Test(deadline, a_server_that_is_reached_late_and_is_silent)
{
    struct s5_engine *e = fake_engine();
    for (enum pipeline pipeline = 0; pipeline < PIPELINES; pipeline++) {
        int fd = begin_connect(e, pipeline, STALL, 0);
        uint64_t begun = fake_net.now;
        cr_assert(!is_ready(e, fd, TIMEOUT - 3));
        fake_net.dial = FAKE_ACCEPT;
        cr_assert(is_ready(e, fd, 3 * TIMEOUT));
        uint64_t took = fake_net.now - begun;
        cr_assert_eq(get_error(e, fd), ETIMEDOUT);
        cr_assert(took >= TIMEOUT * S5_CLOCK_SECOND && took < (TIMEOUT + 1) * S5_CLOCK_SECOND, "%g s",
                  (double)took / (double)S5_CLOCK_SECOND);
        close_and_check(e, fd);
    }
    end_engine(e);
}

/* The time does not start again for a server that sends part of its reply late. */
Test(deadline, a_server_that_sends_late)
{
    struct s5_engine *e = fake_engine();
    int fd = begin_connect(e, OFF, STALL, 2);
    uint64_t begun = fake_net.now;
    cr_assert(!is_ready(e, fd, TIMEOUT / 2));
    fake_net.dial = FAKE_ACCEPT;
    cr_assert(is_ready(e, fd, 3 * TIMEOUT));
    uint64_t took = fake_net.now - begun;
    cr_assert_eq(get_error(e, fd), ETIMEDOUT);
    cr_assert(took >= TIMEOUT * S5_CLOCK_SECOND && took < (TIMEOUT + 1) * S5_CLOCK_SECOND);
    close_and_check(e, fd);
    end_engine(e);
}

/* Time that passes while the program does not wait does not count. */
Test(deadline, a_program_that_waits_late)
{
    struct s5_engine *e = fake_engine();
    for (enum pipeline pipeline = 0; pipeline < PIPELINES; pipeline++)
        for (unsigned late = 1; late <= 3 * TIMEOUT; late += TIMEOUT - 1) {
            int fd = begin_connect(e, pipeline, GOOD, 12);
            fake_net.dial = FAKE_ACCEPT;
            struct timespec step = milliseconds(5);
            fake_calls.ppoll(NULL, 0, &step, NULL); /* the network proceeds without the program */
            fake_net.now += late * S5_CLOCK_SECOND;
            cr_assert(is_ready(e, fd, 3));
            cr_assert_eq(get_error(e, fd), 0, "after %u s", late);
            close_and_check(e, fd);
        }
    end_engine(e);
}

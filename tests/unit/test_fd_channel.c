/* The descriptor channel, wakeup descriptors and internal descriptors, with real system calls. */
#include "listener.h"
#include "fd_channel.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int real_fcntl(int fd, int command, long arg)
{
    return fcntl(fd, command, arg);
}

static const struct s5_calls calls = {.bind = bind,
                                      .keyed_connect = connect,
                                      .getsockname = getsockname,
                                      .getsockopt = getsockopt,
                                      .recv = recv,
                                      .recvmsg = recvmsg,
                                      .keyed_sendmsg = sendmsg,
                                      .close = close,
                                      .fcntl = real_fcntl,
                                      .epoll_ctl = epoll_ctl,
                                      .socket = socket,
                                      .timerfd_create = timerfd_create,
                                      .timerfd_settime = timerfd_settime};

static struct s5_engine *make_engine(void)
{
    static struct s5_engine engine, *e = &engine; /* each test runs in its own process */
    e->real = &calls;
    atomic_store(&e->shm_fd, -1);
    return e;
}

static bool is_readable(int wakeup_fd)
{
    struct pollfd p = {.fd = wakeup_fd, .events = POLLIN};
    return poll(&p, 1, 100) == 1;
}

Test(fd_channel, keeps_the_latest_message)
{
    struct s5_engine *e = make_engine();
    int channel = s5_fd_channel_create(e), control, wakeup_fd, ends[2];
    uint32_t serial = 0;
    cr_assert_geq(channel, 0);
    cr_assert(s5_internal_fd_is(e, channel));
    cr_assert_eq(s5_fd_channel_get(e, channel, &serial, &control, &wakeup_fd), -EAGAIN, "nothing yet");
    cr_assert_eq(pipe(ends), 0);
    int mine = s5_fd_channel_wakeup_fd(e, 0);
    for (uint32_t i = 1; i <= 3; i++)
        cr_assert_eq(s5_fd_channel_put(e, channel, i, ends[0], mine), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(s5_fd_channel_get(e, channel, &serial, &control, &wakeup_fd), 0);
        cr_assert_eq(serial, 3, "one at a time, and it stays");
        cr_assert(s5_internal_fd_is(e, control) && s5_internal_fd_is(e, wakeup_fd));
        cr_assert_eq(fcntl(control, F_GETFD), FD_CLOEXEC);
        s5_internal_fd_close(e, control);
        s5_internal_fd_close(e, wakeup_fd);
    }
    cr_assert_eq(s5_fd_channel_put(e, channel, 4, -1, mine), 0);
    cr_assert_eq(s5_fd_channel_get(e, channel, &serial, &control, &wakeup_fd), 0);
    cr_assert(serial == 4 && control == -1 && wakeup_fd >= 0, "only a wakeup descriptor");
}

Test(fd_channel, a_wakeup_descriptor_is_readable_through_all_copies)
{
    struct s5_engine *e = make_engine();
    int wakeup_fd = s5_fd_channel_wakeup_fd(e, 0), copy = dup(wakeup_fd);
    cr_assert_not(is_readable(wakeup_fd));
    s5_fd_channel_wake(e, wakeup_fd);
    cr_assert(is_readable(copy) && is_readable(wakeup_fd) && is_readable(copy));
    s5_fd_channel_wake(e, -1);
}

Test(internal_fd, are_found_in_order_and_closed_by_the_engine_only)
{
    struct s5_engine *e = make_engine();
    int a = s5_fd_channel_wakeup_fd(e, 0), b = s5_fd_channel_wakeup_fd(e, 0);
    cr_assert_neq(a, b);
    cr_assert_eq(s5_internal_fd_from(e, 0), -1, "nobody listens");
    s5_registry_listens(&e->registry, 1);
    int low = a < b ? a : b, high = a < b ? b : a;
    cr_assert_eq(s5_internal_fd_from(e, 0), low);
    cr_assert_eq(s5_internal_fd_from(e, low + 1), high);
    cr_assert_eq(s5_internal_fd_from(e, high + 1), -1);
    s5_internal_fd_close(e, a);
    cr_assert_not(s5_internal_fd_is(e, a));
    cr_assert_eq(fcntl(a, F_GETFD), -1);
    s5_internal_fd_close(e, 0);
    cr_assert_neq(fcntl(0, F_GETFD), -1, "not one of ours");
    s5_internal_fd_close(e, -1);
}

Test(internal_fd, one_whose_number_is_needed_moves)
{
    struct s5_engine *e = make_engine();
    struct s5_record *record = s5_registry_new(&e->registry);
    cr_assert_not_null(s5_registry_more(&e->registry, record));
    atomic_store(&record->state, S5_RECORD_LISTENING);
    cr_assert_eq(s5_registry_enter(&e->registry, 200, record), 0);
    int wakeup_fd = s5_fd_channel_wakeup_fd(e, 0);
    record->more->wakeup_fd = wakeup_fd;
    record->more->control = record->more->channel_fd = -1;
    s5_internal_fd_move(e, wakeup_fd);
    cr_assert_not(s5_internal_fd_is(e, wakeup_fd));
    cr_assert(record->more->wakeup_fd != wakeup_fd && s5_internal_fd_is(e, record->more->wakeup_fd));
    s5_fd_channel_wake(e, record->more->wakeup_fd);
    cr_assert(is_readable(wakeup_fd), "the same under another number; the old one is the caller's to replace");
}

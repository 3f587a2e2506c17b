/* The descriptor channel of a listener is a datagram socket connected to itself: what is sent remains in it. It holds
 * one message at most, with the control connection and the wakeup descriptor of the latest BIND. Every process that has
 * the listener may peek at the message and receives descriptors of its own. The kernel discards the message when the
 * last process closes the channel.
 *
 * A wakeup descriptor is a timer: readable from its expiry on, because it is never read. */
#include "fd_channel.h"
#include "internal_fd.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

int s5_fd_channel_create(struct s5_engine *e)
{
    /* Bound to a name that the kernel chooses. A connected socket receives nothing from other sockets. */
    struct sockaddr_un self = {.sun_family = AF_UNIX};
    socklen_t len = sizeof self.sun_family;
    int fd = e->real->socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int r = e->real->bind(fd, (struct sockaddr *)&self, len) == 0 ? 0 : -errno;
    len = sizeof self;
    if (r == 0 && e->real->getsockname(fd, (struct sockaddr *)&self, &len) != 0)
        r = -errno;
    if (r == 0)
        r = s5_engine_real_connect(e, fd, (struct sockaddr *)&self, len);
    if (r == 0)
        return s5_internal_fd_take(e, fd);
    e->real->close(fd);
    return r;
}

static void set_timer(struct s5_engine *e, int wakeup_fd, time_t seconds, long ns)
{
    struct itimerspec when = {{0, 0}, {seconds, ns}};
    e->real->timerfd_settime(wakeup_fd, 0, &when, NULL);
}

int s5_fd_channel_wakeup_fd(struct s5_engine *e, unsigned seconds)
{
    int fd = e->real->timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (seconds)
        set_timer(e, fd, (time_t)seconds, 0);
    return s5_internal_fd_take(e, fd);
}

void s5_fd_channel_wake(struct s5_engine *e, int wakeup_fd)
{
    if (wakeup_fd >= 0)
        set_timer(e, wakeup_fd, 0, 1);
}

void s5_fd_channel_wake_in(struct s5_engine *e, int wakeup_fd, unsigned seconds)
{
    set_timer(e, wakeup_fd, (time_t)seconds, 0);
}

bool s5_fd_channel_is_woken(struct s5_engine *e, int wakeup_fd)
{
    struct pollfd p = {wakeup_fd, POLLIN, 0};
    struct timespec now = {0, 0};
    return e->real->ppoll(&p, 1, &now, NULL) != 0;
}

union ancillary {
    struct cmsghdr header;
    char octets[CMSG_SPACE(2 * sizeof(int))];
};

int s5_fd_channel_put(struct s5_engine *e, int channel_fd, uint32_t serial, int control, int wakeup_fd)
{
    union ancillary a = {.octets = {0}};
    int fds[2] = {wakeup_fd, control}, n = control < 0 ? 1 : 2;
    char octet; /* recv() takes no descriptors: the kernel closes those of the message */
    (void)!e->real->recv(channel_fd, &octet, 1, MSG_DONTWAIT | MSG_TRUNC);
    struct iovec iov = {&serial, sizeof serial};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &a, .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int))};
    a.header.cmsg_level = SOL_SOCKET;
    a.header.cmsg_type = SCM_RIGHTS;
    a.header.cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
    memcpy(CMSG_DATA(&a.header), fds, (size_t)n * sizeof(int));
    return e->real->keyed_sendmsg(channel_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int s5_fd_channel_get(struct s5_engine *e, int channel_fd, uint32_t *ret_serial, int *ret_control, int *ret_wakeup_fd)
{
    union ancillary a;
    uint32_t serial = 0;
    int fds[2] = {-1, -1};
    struct iovec iov = {&serial, sizeof serial};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &a, .msg_controllen = sizeof a};
    if (e->real->recvmsg(channel_fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
        return -errno;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
        memcpy(fds, CMSG_DATA(c), c->cmsg_len > CMSG_LEN(sizeof(int)) ? 2 * sizeof(int) : sizeof(int));
    *ret_serial = serial;
    *ret_wakeup_fd = fds[0] < 0 ? -1 : s5_internal_fd_take(e, fds[0]);
    *ret_control = fds[1] < 0 ? -1 : s5_internal_fd_take(e, fds[1]);
    return 0;
}

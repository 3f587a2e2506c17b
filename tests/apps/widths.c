/* Calls whose types have two widths on 32-bit machines (time_t, off_t); there this program is built with each. A
 * connection and a datagram are waited for with a time-out by every such call. The remaining time, the time-outs
 * of a socket, an offset and a lock must have the expected values. */
#include "app.h"
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>

static struct peer target;

enum wait { SELECT, PSELECT, PPOLL, EPOLL_PWAIT2, WAITS };

/* Waits at most SECONDS and 5 ms until FD is writable (OUT) or readable. */
static int wait_with(enum wait how, int fd, bool out, int seconds)
{
    struct timespec limit = {.tv_sec = seconds, .tv_nsec = 5000000};
    struct timeval left = {.tv_sec = seconds, .tv_usec = 5000};
    struct pollfd p = {.fd = fd, .events = out ? POLLOUT : POLLIN};
    struct epoll_event ev = {.events = out ? EPOLLOUT : EPOLLIN}, got;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    fd_set *in = out ? NULL : &set, *to = out ? &set : NULL;
    int n = -1, ep;
    switch (how) {
    case SELECT:
        n = select(fd + 1, in, to, NULL, &left);
        CHECK(left.tv_sec >= 0 && left.tv_sec <= seconds && left.tv_usec >= 0 &&
              left.tv_usec < 1000000);
        CHECK(n != 0 || (left.tv_sec == 0 && left.tv_usec == 0));
        break;
    case PSELECT:
        n = pselect(fd + 1, in, to, NULL, &limit, NULL);
        break;
    case PPOLL:
        n = ppoll(&p, 1, &limit, NULL);
        break;
    default:
        ep = epoll_create1(EPOLL_CLOEXEC);
        CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == 0);
        n = epoll_pwait2(ep, &got, 1, &limit, NULL);
        if (n < 0 && errno == ENOSYS) /* a kernel without it */
            n = epoll_wait(ep, &got, 1, seconds * 1000 + 5);
        close(ep);
    }
    CHECK(how == SELECT || (limit.tv_sec == seconds && limit.tv_nsec == 5000000));
    return n;
}

static void check_connection(enum wait how)
{
    int fd = tcp_begin(&target);
    CHECK(wait_with(how, fd, true, 60) == 1 && so_error(fd) == 0);
    check_names(fd, &target);
    CHECK(wait_with(how, fd, false, 0) == 0); /* nothing arrives without a request */
    CHECK(send(fd, "waited", 6, 0) == 6);
    CHECK(wait_with(how, fd, false, 60) == 1);
    close(fd);
}

/* The time-outs of a socket, which a blocking connect() does not change. They are read before and after, because
 * some emulators do not return fractions of a second. */
static void check_socket_timeouts(void)
{
    static const int options[] = {SO_SNDTIMEO, SO_RCVTIMEO};
    struct timeval before[2] = {{0, 0}, {0, 0}}, after = {0, 0};
    socklen_t len = sizeof after;
    int fd = tcp_socket(&target, 0);
    for (int i = 0; i < 2; i++) {
        struct timeval tv = {.tv_sec = 70 + i, .tv_usec = 500000};
        CHECK(setsockopt(fd, SOL_SOCKET, options[i], &tv, sizeof tv) == 0);
        CHECK(getsockopt(fd, SOL_SOCKET, options[i], &before[i], &len) == 0);
        CHECK(before[i].tv_sec == 70 + i);
    }
    CHECK(connect(fd, peer_addr(&target), target.len) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(getsockopt(fd, SOL_SOCKET, options[i], &after, &len) == 0);
        CHECK(after.tv_sec == before[i].tv_sec && after.tv_usec == before[i].tv_usec);
    }
    struct timeval brief = {.tv_sec = 0, .tv_usec = 20000};
    char c;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof brief) == 0);
    CHECK(recv(fd, &c, 1, 0) == -1 && errno == EAGAIN);
    close(fd);
}

static void check_offsets(void)
{
    char name[] = "/tmp/socksify-widths.XXXXXX", back[8];
    int fd = tcp_socket(&target, 0), file = mkstemp(name);
    CHECK(file >= 0 && unlink(name) == 0 && write(file, "0123456789", 10) == 10);
    CHECK(connect(fd, peer_addr(&target), target.len) == 0);
    off_t at = 3;
    CHECK(sendfile(fd, file, &at, 4) == 4 && at == 7);
    CHECK(recv(fd, back, 4, MSG_WAITALL) == 4 && memcmp(back, "3456", 4) == 0);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 5};
    struct flock found = lock;
    CHECK(fcntl(file, F_OFD_SETLK, &lock) == 0 && fcntl(file, F_GETLK, &found) == 0);
    CHECK(found.l_type == F_WRLCK && found.l_start == 2 && found.l_len == 5);
    int other = fcntl(fd, F_DUPFD, 20);
    CHECK(other >= 20 && send(other, "dup", 3, 0) == 3);
    CHECK(recv(fd, back, 3, MSG_WAITALL) == 3 && memcmp(back, "dup", 3) == 0);
    close(other);
    close(file);
    close(fd);
}

/* Exchanges datagrams by the message calls, with two destinations that echo them. */
static void check_datagrams(const struct peer *other)
{
    char out[2][4] = {"one", "two"}, in[2][8], control[2][128];
    struct iovec to[2] = {{out[0], 3}, {out[1], 3}}, from[2] = {{in[0], 8}, {in[1], 8}};
    struct mmsghdr sent[2] = {{{0}, 0}, {{0}, 0}}, got[2] = {{{0}, 0}, {{0}, 0}};
    int fd = socket(target.family, SOCK_DGRAM, 0), on = 1;
    CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on) == 0);
    for (int i = 0; i < 2; i++) {
        const struct peer *p = i ? other : &target;
        sent[i].msg_hdr = (struct msghdr){.msg_name = (void *)&p->addr, .msg_namelen = p->len,
                                          .msg_iov = &to[i], .msg_iovlen = 1};
        got[i].msg_hdr = (struct msghdr){.msg_iov = &from[i], .msg_iovlen = 1,
                                         .msg_control = control[i],
                                         .msg_controllen = sizeof control[i]};
    }
    CHECK(sendmsg(fd, &sent[0].msg_hdr, 0) == 3);
    CHECK(wait_with(PPOLL, fd, false, 60) == 1);
    CHECK(recvmsg(fd, &got[0].msg_hdr, 0) == 3 && memcmp(in[0], "one", 3) == 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&got[0].msg_hdr);
    while (c && c->cmsg_type != SO_TIMESTAMP) /* libc may insert another control message before it */
        c = CMSG_NXTHDR(&got[0].msg_hdr, c);
    struct timeval stamp;
    CHECK(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMP);
    CHECK(c->cmsg_len == CMSG_LEN(sizeof stamp));
    memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
    CHECK(stamp.tv_sec > 1700000000 && stamp.tv_usec >= 0 && stamp.tv_usec < 1000000);
    CHECK(!(got[0].msg_hdr.msg_flags & MSG_CTRUNC));
    got[0].msg_hdr.msg_controllen = sizeof control[0];
    CHECK(sendmmsg(fd, sent, 2, 0) == 2);
    for (int have = 0; have < 2;) {
        struct timespec limit = {.tv_sec = 60, .tv_nsec = 0};
        CHECK(wait_with(SELECT, fd, false, 60) == 1);
        int n = recvmmsg(fd, got, 2 - (unsigned)have, MSG_WAITFORONE, &limit);
        CHECK(n > 0 && limit.tv_sec >= 0 && limit.tv_sec <= 60);
        have += n;
    }
    struct timespec brief = {.tv_sec = 0, .tv_nsec = 1000000};
    CHECK(recvmmsg(fd, got, 1, MSG_DONTWAIT, &brief) == -1 && errno == EAGAIN);
    close(fd);
}

int main(int argc, char **argv)
{
    char next[16];
    target = peer_from(argc, argv);
    snprintf(next, sizeof next, "%d", atoi(argv[2]) + 1);
    struct peer other = peer_of(argv[1], next);
    for (enum wait how = 0; how < WAITS; how++)
        check_connection(how);
    check_socket_timeouts();
    check_offsets();
    if (argc > 3) /* the target also echoes datagrams, at this port and the next one */
        check_datagrams(&other);
    return 0;
}

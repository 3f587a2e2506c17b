/* System calls that only 32-bit machines have, by their numbers through libc's syscall(): in two widths
 * of time-outs and offsets, and on some machines one call for all of sockets. The arguments are HOST
 * and PORT of a target that sends back what it gets, over TCP and UDP. */
#include "../apps/app.h"
#include <sys/select.h>
#include <sys/syscall.h>

struct narrow {
    int32_t seconds, part;
};
struct wide {
    int64_t seconds, part;
};

static struct peer target;

enum wait { NEWSELECT, OLD_SELECT, PSELECT, PSELECT_WIDE, PPOLL, PPOLL_WIDE, WAITS };

static long wait_by_number(enum wait how, int fd, bool out)
{
    struct narrow limit = {60, 0};
    struct wide limit64 = {60, 0};
    struct pollfd p = {.fd = fd, .events = out ? POLLOUT : POLLIN};
    struct {
        const void *mask;
        size_t size;
    } mask = {NULL, 8};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    fd_set *in = out ? NULL : &set, *to = out ? &set : NULL;
#ifdef SYS_select
    struct {
        long n;
        fd_set *in, *out, *ex;
        struct narrow *limit;
    } arguments = {fd + 1, in, to, NULL, &limit};
    if (how == OLD_SELECT)
        return syscall(SYS_select, &arguments);
#endif
    switch (how) {
    case OLD_SELECT: /* not there: once more */
    case NEWSELECT:
        return syscall(SYS__newselect, fd + 1, in, to, NULL, &limit);
    case PSELECT:
        return syscall(SYS_pselect6, fd + 1, in, to, NULL, &limit, &mask);
    case PSELECT_WIDE:
        return syscall(SYS_pselect6_time64, fd + 1, in, to, NULL, &limit64, &mask);
    case PPOLL:
        return syscall(SYS_ppoll, &p, 1, &limit, NULL, 8);
    default:
        return syscall(SYS_ppoll_time64, &p, 1, &limit64, NULL, 8);
    }
}

static void streams(enum wait how)
{
    char back[8];
    int fd = tcp_socket(&target, SOCK_NONBLOCK);
    CHECK(syscall(SYS_connect, fd, peer_addr(&target), target.len) == -1 && errno == EINPROGRESS);
    CHECK(wait_by_number(how, fd, true) == 1 && so_error(fd) == 0);
    check_names(fd, &target);
    CHECK(send(fd, "octets", 6, 0) == 6);
    CHECK(wait_by_number(how, fd, false) == 1);
    CHECK(recv(fd, back, 6, MSG_PEEK) > 0);
    int copy = (int)syscall(SYS_fcntl64, fd, F_DUPFD, 40);
    CHECK(copy >= 40);
    check_names(copy, &target);
    close(copy);
    close(fd);
}

static void files(void)
{
    char name[] = "/tmp/socksify-raw32.XXXXXX", back[8];
    int fd = tcp_socket(&target, 0), file = mkstemp(name);
    int32_t at = 1;
    int64_t at64 = 5;
    CHECK(file >= 0 && unlink(name) == 0 && write(file, "0123456789", 10) == 10);
    CHECK(connect(fd, peer_addr(&target), target.len) == 0);
    CHECK(syscall(SYS_sendfile, fd, file, &at, 4) == 4 && at == 5);
    CHECK(syscall(SYS_sendfile64, fd, file, &at64, 4) == 4 && at64 == 9);
    CHECK(recv(fd, back, 8, MSG_WAITALL) == 8 && memcmp(back, "12345678", 8) == 0);
    close(file);
    close(fd);
}

static void datagrams(void)
{
    char buf[8];
    struct narrow limit = {60, 0};
    struct wide limit64 = {60, 0};
    for (int i = 0; i < 2; i++) {
        struct iovec to = {(void *)"octets", 6}, from = {buf, sizeof buf};
        struct msghdr out = {.msg_name = &target.addr, .msg_namelen = target.len, .msg_iov = &to,
                             .msg_iovlen = 1};
        struct mmsghdr in = {.msg_hdr = {.msg_iov = &from, .msg_iovlen = 1}};
        int fd = socket(target.family, SOCK_DGRAM, 0);
        CHECK(syscall(SYS_sendmsg, fd, &out, 0) == 6);
        CHECK((i ? syscall(SYS_recvmmsg_time64, fd, &in, 1, 0, &limit64)
                 : syscall(SYS_recvmmsg, fd, &in, 1, 0, &limit)) == 1);
        CHECK(in.msg_len == 6 && memcmp(buf, "octets", 6) == 0);
        close(fd);
    }
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    for (enum wait how = 0; how < WAITS; how++)
        streams(how);
    files();
    datagrams();
    return 0;
}

/* Makes every call that has a hook by its number, through libc's syscall(). Each behaves like the function of its
 * name, and has the additional behaviour of the kernel's interface. */
#include "app.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static struct peer target;

enum wait { POLL, PPOLL, SELECT, PSELECT, EPOLL, EPOLL_P, EPOLL_P2, WAITS };

static int wait_epoll(enum wait how, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data = {.fd = fd}}, got;
    struct timespec limit = {20, 0};
    int ep = epoll_create1(0);
    CHECK(syscall(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, fd, &ev) == 0);
    long n = how == EPOLL     ? syscall(SYS_epoll_wait, ep, &got, 1, 20000)
             : how == EPOLL_P ? syscall(SYS_epoll_pwait, ep, &got, 1, 20000, NULL, 8)
                              : syscall(SYS_epoll_pwait2, ep, &got, 1, &limit, NULL, 8);
    CHECK(n != 1 || got.data.fd == fd);
    close(ep);
    return (int)n;
}

/* Waits until FD is writable (OUT) or readable. */
static void wait_by_number(enum wait how, int fd, bool out)
{
    struct pollfd p = {.fd = fd, .events = out ? POLLOUT : POLLIN};
    struct timespec limit = {20, 0};
    struct timeval long_enough = {20, 0};
    struct {
        const sigset_t *mask;
        size_t size;
    } mask = {NULL, 8};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    fd_set *r = out ? NULL : &set, *w = out ? &set : NULL;
    long n = how == POLL      ? syscall(SYS_poll, &p, 1, 20000)
             : how == PPOLL   ? syscall(SYS_ppoll, &p, 1, &limit, NULL, 8)
             : how == SELECT  ? syscall(SYS_select, fd + 1, r, w, NULL, &long_enough)
             : how == PSELECT ? syscall(SYS_pselect6, fd + 1, r, w, NULL, &limit, &mask)
                              : wait_epoll(how, fd, out ? EPOLLOUT : EPOLLIN);
    if (n != 1)
        FAIL("wait %d returned %ld", how, n);
    CHECK((how != PPOLL && how != PSELECT) || limit.tv_sec < 20); /* the remaining time */
}

static int connected_fd(enum wait how)
{
    int error = -1, on = 1;
    struct sockaddr_storage a;
    socklen_t len = sizeof error;
    int fd = tcp_socket(&target, SOCK_NONBLOCK);
    CHECK(syscall(SYS_connect, fd, peer_addr(&target), target.len) == -1 && errno == EINPROGRESS);
    wait_by_number(how, fd, true);
    CHECK(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0);
    CHECK(syscall(SYS_setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    len = sizeof a;
    CHECK(syscall(SYS_getpeername, fd, &a, &len) == 0);
    CHECK(len == target.len && memcmp(&a, &target.addr, 4) == 0); /* family and port */
    len = sizeof a;
    CHECK(syscall(SYS_getsockname, fd, &a, &len) == 0 && len == target.len);
    return fd;
}

/* Moves TEXT from a pipe, or from a file, to FD. */
static long move_to_socket(int fd, bool from_file, const char *text)
{
    int ends[2] = {-1, -1}, file = memfd_create("text", 0);
    size_t n = strlen(text);
    long at = 0; /* the type that the kernel uses for this call */
    CHECK(pipe(ends) == 0 && write(from_file ? file : ends[1], text, n) == (ssize_t)n);
    long moved = from_file ? syscall(SYS_sendfile, fd, file, &at, n)
                           : syscall(SYS_splice, ends[0], NULL, fd, NULL, n, 0);
    CHECK(moved < 0 || !from_file || at == moved);
    close(ends[0]), close(ends[1]), close(file);
    return moved;
}

/* Moves at most N octets from FD to TO. */
static long move_from_socket(int fd, char *to, size_t n)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    long moved = syscall(SYS_splice, fd, NULL, ends[1], NULL, n, 0);
    CHECK(moved < 0 || read(ends[0], to, n) == moved);
    close(ends[0]), close(ends[1]);
    return moved;
}

/* Sends and receives with each pair of calls. The data is echoed. */
static void check_streams(enum wait how)
{
    char buf[8];
    struct iovec out = {(void *)"octets", 6}, in = {buf, sizeof buf};
    struct msghdr send = {.msg_iov = &out, .msg_iovlen = 1}, recv = {.msg_iov = &in, .msg_iovlen = 1};
    struct mmsghdr sends = {.msg_hdr = send}, recvs = {.msg_hdr = recv};
    int fd = connected_fd(how), n;
    for (int way = 0; way < 8; way++) {
        long sent = way == 0   ? syscall(SYS_write, fd, "octets", 6)
                    : way == 1 ? syscall(SYS_writev, fd, &out, 1)
                    : way == 2 ? syscall(SYS_sendto, fd, "octets", 6, 0, NULL, 0)
                    : way == 3 ? syscall(SYS_sendmsg, fd, &send, 0)
                    : way == 4 ? syscall(SYS_pwritev2, fd, &out, 1, -1L, -1L, 0)
                    : way == 5 ? move_to_socket(fd, false, "octets")
                    : way == 6 ? move_to_socket(fd, true, "octets")
                               : 6 * syscall(SYS_sendmmsg, fd, &sends, 1, 0);
        CHECK(sent == 6);
        do {
            wait_by_number(how, fd, false);
            CHECK(syscall(SYS_ioctl, fd, FIONREAD, &n) == 0);
        } while (n < 6);
        memset(buf, 0, sizeof buf);
        long got = way == 0   ? syscall(SYS_read, fd, buf, sizeof buf)
                   : way == 1 ? syscall(SYS_readv, fd, &in, 1)
                   : way == 2 ? syscall(SYS_recvfrom, fd, buf, sizeof buf, 0, NULL, NULL)
                   : way == 3 ? syscall(SYS_recvmsg, fd, &recv, 0)
                   : way == 4 ? syscall(SYS_preadv2, fd, &in, 1, -1L, -1L, 0)
                   : way == 5 ? move_from_socket(fd, buf, sizeof buf)
                   : way == 6 ? syscall(SYS_read, fd, buf, sizeof buf)
                              : 6 * syscall(SYS_recvmmsg, fd, &recvs, 1, 0, NULL);
        CHECK(got == 6 && memcmp(buf, "octets", 6) == 0);
    }
    CHECK(syscall(SYS_shutdown, fd, SHUT_WR) == 0);
    wait_by_number(how, fd, false);
    CHECK(syscall(SYS_read, fd, buf, 1) == 0);
    CHECK(syscall(SYS_close, fd) == 0 && fcntl(fd, F_GETFD) == -1);
}

/* Time-outs that have expired are set to 0, and masks whose size is not the kernel's are refused. */
static void check_kernel_behaviour(void)
{
    struct timespec limit[2] = {{0, 1000000}, {0, 1000000}}, none = {0, 0}, never = {-1, 0};
    sigset_t set;
    struct {
        const sigset_t *mask;
        size_t size;
    } mask = {&set, 4};
    struct epoll_event got;
    int ep = epoll_create1(0);
    sigemptyset(&set);
    CHECK(syscall(SYS_ppoll, NULL, 0, &limit[0], NULL, 8) == 0 && limit[0].tv_nsec == 0);
    CHECK(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &limit[1], NULL) == 0 && limit[1].tv_nsec == 0);
    CHECK(syscall(SYS_ppoll, NULL, 0, &none, NULL, 8) == 0 && none.tv_sec == 0 && none.tv_nsec == 0);
    CHECK(syscall(SYS_ppoll, NULL, 0, &never, NULL, 8) == -1 && errno == EINVAL && never.tv_sec == -1);
    CHECK(syscall(SYS_ppoll, NULL, 0, &none, &set, 4) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &none, &mask) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_epoll_pwait, ep, &got, 1, 0, &set, 4) == -1 && errno == EINVAL);
    CHECK(syscall(SYS_epoll_pwait2, ep, &got, 1, &none, &set, 4) == -1 && errno == EINVAL);
    close(ep);
}

static void check_copies(void)
{
    int fd = connected_fd(POLL), copies[4];
    copies[0] = (int)syscall(SYS_dup, fd);
    copies[1] = (int)syscall(SYS_dup2, fd, 50);
    copies[2] = (int)syscall(SYS_dup3, fd, 51, O_CLOEXEC);
    copies[3] = (int)syscall(SYS_fcntl, fd, F_DUPFD, 52);
    CHECK(copies[1] == 50 && copies[2] == 51 && copies[3] == 52);
    for (int i = 0; i < 4; i++) {
        check_names(copies[i], &target);
        echo(copies[i], "a copy");
    }
    CHECK(syscall(SYS_close_range, 50, 60, 0) == 0 && fcntl(51, F_GETFD) == -1);
    check_names(fd, &target);
    echo(fd, "what is left");
}

/* A connection in flight has nothing to read. On a blocking socket, sending waits until it is established. */
static void check_in_flight(void)
{
    char buf[8];
    struct iovec in = {buf, sizeof buf}, out = {(void *)"octets", 6};
    for (int way = 0; way < 4; way++) {
        int fd = tcp_begin(&target);
        CHECK((way % 2 ? syscall(SYS_preadv2, fd, &in, 1, -1L, -1L, 0) : move_from_socket(fd, buf, sizeof buf)) == -1);
        CHECK(errno == EAGAIN);
        CHECK(fcntl(fd, F_SETFL, 0) == 0);
        CHECK((way < 2 ? move_to_socket(fd, way, "octets") : syscall(SYS_pwritev2, fd, &out, 1, -1L, -1L, 0)) == 6);
        wait_for(fd, POLLIN);
        CHECK((way % 2 ? syscall(SYS_preadv2, fd, &in, 1, -1L, -1L, 0) : move_from_socket(fd, buf, sizeof buf)) > 0);
        CHECK(buf[0] == 'o');
        close(fd);
    }
}

/* A server on this machine. */
static void check_local_server(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, from;
    socklen_t len = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM, 0), client[2];
    CHECK(syscall(SYS_bind, fd, &here, sizeof here) == 0 && syscall(SYS_listen, fd, 5) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&here, &len) == 0 && here.sin_port != 0);
    for (int i = 0; i < 2; i++) {
        client[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(connect(client[i], (struct sockaddr *)&here, sizeof here) == 0);
        len = sizeof from;
        long taken = i ? syscall(SYS_accept4, fd, &from, &len, SOCK_CLOEXEC)
                       : syscall(SYS_accept, fd, &from, &len);
        CHECK(taken >= 0 && from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
        CHECK(write(client[i], "x", 1) == 1);
        wait_for((int)taken, POLLIN);
        close((int)taken);
    }
}

/* Programs can do without io_uring; the kernel may refuse it, too. */
static void check_io_uring(void)
{
    uint8_t params[256] = {0};
    long fd = syscall(SYS_io_uring_setup, 1, params);
    CHECK(fd >= 0 || errno == ENOSYS || errno == EPERM);
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    if (argc > 3) { /* the same program again, started by execve or execveat */
        echo(connected_fd(POLL), "once more");
        return 0;
    }
    for (enum wait how = POLL; how < WAITS; how++)
        check_streams(how);
    check_kernel_behaviour();
    check_copies();
    check_in_flight();
    check_local_server();
    check_io_uring();
    CHECK(syscall(SYS_execve, "/proc/self/nothing", argv, environ) == -1 && errno == ENOENT);
    for (int at = 0; at < 2; at++) {
        char *again[] = {argv[0], argv[1], argv[2], (char *)"again", NULL};
        pid_t pid = fork();
        if (pid == 0) {
            if (at)
                syscall(SYS_execveat, AT_FDCWD, "/proc/self/exe", again, environ, 0);
            else
                syscall(SYS_execve, "/proc/self/exe", again, environ);
            _exit(99);
        }
        child_ends(pid);
    }
    return 0;
}

/* Calls that read, write and wait under names that do not appear in source code: those that the compiler
 * substitutes with _FORTIFY_SOURCE, formatted output to a descriptor, and asynchronous I/O. HOST runs an echo
 * service at PORT: TCP, or UDP if there is a third argument. */
#undef _FILE_OFFSET_BITS /* each width of a function has its own name below */
#undef _TIME_BITS
#include "app.h"
#include <aio.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>

/* The headers of libc declare these only for internal use. */
ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags, struct sockaddr *addr, socklen_t *len);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size);
int __dprintf_chk(int fd, int checked, const char *format, ...);
int __vdprintf_chk(int fd, int checked, const char *format, va_list args);

static struct peer target;

/* --- reading and waiting --- */

enum reading { READ, RECV, RECVFROM, READINGS };

/* Reads at most N octets. SIZE is the size of the buffer that the check is given. */
static ssize_t read_by(enum reading how, int fd, char *to, size_t n, size_t size)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    return how == READ   ? __read_chk(fd, to, n, size)
           : how == RECV ? __recv_chk(fd, to, n, size, 0)
                         : __recvfrom_chk(fd, to, n, size, 0, (struct sockaddr *)&from, &len);
}

static int wait_by(bool masked, struct pollfd *p, nfds_t n, size_t size)
{
    const struct timespec limit = {20, 0};
    return masked ? __ppoll_chk(p, n, &limit, NULL, size) : __poll_chk(p, n, 20000, size);
}

static void check_ready(bool masked, int fd, short events)
{
    struct pollfd p[2] = {{fd, events, 0}, {-1, POLLIN, 0}};
    CHECK(wait_by(masked, p, 2, sizeof p) == 1 && p[0].revents == events);
}

/* The next octets, read with one call, must be TEXT. */
static void expect_text(enum reading how, int fd, const char *text)
{
    char got[64] = "";
    check_ready(how == READ, fd, POLLIN);
    ssize_t n = read_by(how, fd, got, sizeof got - 1, sizeof got);
    if (n != (ssize_t)strlen(text) || strcmp(got, text) != 0)
        FAIL("reading %d: %zd octets, \"%s\" and not \"%s\"", how, n, got, text);
}

/* libc aborts a program whose buffer is too small, whatever the descriptor is. */
static void check_abort(enum reading how, bool waits, int fd)
{
    const struct rlimit none = {0, 0};
    struct pollfd p = {fd, POLLOUT, 0};
    char small[4];
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &none);
        dup2(open("/dev/null", O_WRONLY), 2);
        if (waits)
            wait_by(how == READ, &p, 1, sizeof p - 1);
        else
            read_by(how, fd, small, sizeof small + 1, sizeof small);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* --- formatted output --- */

enum printing { PRINT, PRINT_LIST, CHECKED, CHECKED_LIST, PRINTINGS };

__attribute__((format(printf, 3, 4))) static int print_by(enum printing how, int fd, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = how == CHECKED_LIST ? __vdprintf_chk(fd, 1, format, args) : vdprintf(fd, format, args);
    va_end(args);
    return n;
}

/* Prints a text with NUMBER. Returns the number of octets that the call reports. */
static int print_number(enum printing how, int fd, int number)
{
    const char *text = "printed";
    return how == PRINT     ? dprintf(fd, "%s %d", text, number)
           : how == CHECKED ? __dprintf_chk(fd, 1, "%s %d", text, number)
                            : print_by(how, fd, "%s %d", text, number);
}

static int connecting_fd(void)
{
    int fd = tcp_begin(&target);
    CHECK(fcntl(fd, F_SETFL, 0) == 0);
    return fd;
}

static void check_printing(enum printing how)
{
    int ends[2], fd = connecting_fd();
    CHECK(pipe(ends) == 0);
    CHECK(print_number(how, ends[1], 1) == 9);
    expect_text(READ, ends[0], "printed 1");
    CHECK(print_number(how, fd, 22) == 10); /* after it is connected */
    expect_text(RECV, fd, "printed 22");
    check_names(fd, &target);
    CHECK(print_number(how, fd, 333) == 11);
    expect_text(RECVFROM, fd, "printed 333");
    CHECK(print_number(how, ends[0], 1) == -1 && errno == EBADF);
    close(ends[0]), close(ends[1]), close(fd);
}

/* --- asynchronous input and output --- */

/* Waits for OPERATION, which was started with result BEGUN_SO, and returns its result and errno. */
#define ASYNCHRONOUS(wide)                                                                                            \
    static ssize_t ended##wide(struct aiocb##wide *operation, int begun_so)                                           \
    {                                                                                                                 \
        const struct aiocb##wide *const list[1] = {operation};                                                        \
        const struct timespec limit = {20, 0};                                                                        \
        CHECK(begun_so == 0);                                                                                         \
        while (aio_error##wide(operation) == EINPROGRESS)                                                             \
            CHECK(aio_suspend##wide(list, 1, &limit) == 0 || errno == EINTR);                                         \
        errno = aio_error##wide(operation);                                                                           \
        return aio_return##wide(operation);                                                                           \
    }                                                                                                                 \
    static void asynchronous##wide(void)                                                                              \
    {                                                                                                                 \
        char out[] = "asynchronous", in[16] = "";                                                                     \
        int fd = connecting_fd();                                                                                     \
        struct aiocb##wide w = {.aio_fildes = fd, .aio_buf = out, .aio_nbytes = 12, .aio_lio_opcode = LIO_WRITE};     \
        struct aiocb##wide r = {.aio_fildes = fd, .aio_buf = in, .aio_nbytes = 12, .aio_lio_opcode = LIO_READ};       \
        struct aiocb##wide nothing = {.aio_fildes = -1, .aio_lio_opcode = LIO_NOP};                                   \
        struct aiocb##wide *list[3] = {&nothing, NULL, &w};                                                           \
        CHECK(ended##wide(&w, aio_write##wide(&w)) == 12);                                                            \
        CHECK(ended##wide(&r, aio_read##wide(&r)) == 12 && strcmp(in, out) == 0);                                     \
        close(fd);                                                                                                    \
        memset(in, 0, sizeof in);                                                                                     \
        w.aio_fildes = r.aio_fildes = fd = connecting_fd();                                                           \
        CHECK(ended##wide(&w, lio_listio##wide(LIO_WAIT, list, 3, NULL)) == 12);                                      \
        list[2] = &r;                                                                                                 \
        CHECK(ended##wide(&r, lio_listio##wide(LIO_NOWAIT, list, 3, NULL)) == 12 && strcmp(in, out) == 0);            \
        check_names(fd, &target);                                                                                     \
        close(fd);                                                                                                    \
    }

ASYNCHRONOUS()
ASYNCHRONOUS(64)

/* A connection in flight has nothing to read. */
static void check_streams(void)
{
    const struct timeval limit = {0, 100000};
    char to[16];
    for (enum reading how = READ; how < READINGS; how++) {
        int fd = tcp_begin(&target);
        CHECK(read_by(how, fd, to, sizeof to, sizeof to) == -1 && errno == EAGAIN);
        check_ready(how != READ, fd, POLLOUT);
        CHECK(so_error(fd) == 0 && write(fd, "checked", 7) == 7);
        expect_text(how, fd, "checked");
        check_abort(how, false, fd);
        check_abort(how, true, fd);
        close(fd);
        /* A blocking socket. */
        fd = connecting_fd();
        CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
        CHECK(read_by(how, fd, to, sizeof to, sizeof to) == -1 && errno == EAGAIN);
        echo(fd, "blocking");
        close(fd);
    }
}

/* A text is sent as one datagram. An empty text sends none. */
static void check_datagrams(void)
{
    int fd = socket(target.family, SOCK_DGRAM, 0);
    CHECK(fd >= 0 && connect(fd, peer_addr(&target), target.len) == 0);
    CHECK(dprintf(fd, "%s", "") == 0);
    for (enum printing how = PRINT; how < PRINTINGS; how++) {
        CHECK(print_number(how, fd, 22) == 10);
        expect_text((enum reading)(how % READINGS), fd, "printed 22");
    }
    for (enum reading how = READ; how < READINGS; how++)
        check_abort(how, false, fd);
    check_names(fd, &target);
    close(fd);
}

/* These are not in libc. If a symbol exists, it must return what liburing returns on a kernel without io_uring. */
static void check_io_uring(void)
{
    static const char *const names[] = {"io_uring_setup", "io_uring_queue_init", "io_uring_queue_init_params"};
    char params[256] = "", ring[512] = "";
    for (int i = 0; i < 3; i++) {
        uintptr_t found = (uintptr_t)dlsym(RTLD_DEFAULT, names[i]);
        if (!found)
            continue;
        int r = i == 0   ? ((int (*)(unsigned, void *))found)(4, params)
                : i == 1 ? ((int (*)(unsigned, void *, unsigned))found)(4, ring, 0)
                         : ((int (*)(unsigned, void *, void *))found)(4, ring, params);
        CHECK(r == -ENOSYS);
    }
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    if (argc > 3) {
        check_datagrams();
        return 0;
    }
    check_streams();
    for (enum printing how = PRINT; how < PRINTINGS; how++)
        check_printing(how);
    asynchronous();
    asynchronous64();
    check_io_uring();
    return 0;
}

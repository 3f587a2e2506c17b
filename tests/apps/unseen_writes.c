/* Writes to a connection attempt that is in flight, by calls other than write() and send(): HOST PORT HOW [WAIT].
 * Prints the result of the write and then that of the connection. WAIT is the time in ms to poll the connection
 * before. */
#include "app.h"
#include <aio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define TEXT "SPOILT!"
#define SIZE (sizeof TEXT - 1)

/* Returns the reading end of a pipe that contains TEXT. */
static int pipe_with_text(bool mapped)
{
    static char text[] = TEXT;
    int ends[2];
    struct iovec iov = {text, SIZE};
    CHECK(pipe(ends) == 0);
    if (mapped)
        CHECK(vmsplice(ends[1], &iov, 1, 0) == (ssize_t)SIZE);
    else
        CHECK(write(ends[1], text, SIZE) == (ssize_t)SIZE);
    return ends[0];
}

static ssize_t by_splice(int fd, bool mapped, bool teed, bool by_number)
{
    int from = pipe_with_text(mapped), ends[2];
    if (teed) {
        CHECK(pipe(ends) == 0);
        CHECK(tee(from, ends[1], SIZE, 0) == (ssize_t)SIZE);
        from = ends[0];
    }
    if (by_number)
        return syscall(SYS_splice, from, NULL, fd, NULL, SIZE, SPLICE_F_NONBLOCK);
    return splice(from, NULL, fd, NULL, SIZE, SPLICE_F_NONBLOCK);
}

static ssize_t by_sendfile(int fd, bool by_number)
{
    int file = memfd_create("text", 0);
    off_t at = 0;
    long plain = 0; /* an offset of the type that the kernel uses for this call */
    CHECK(file >= 0 && write(file, TEXT, SIZE) == (ssize_t)SIZE);
    if (by_number)
        return syscall(SYS_sendfile, fd, file, &plain, SIZE);
    return sendfile(fd, file, &at, SIZE);
}

static ssize_t by_aio(int fd, bool listed)
{
    static char text[] = TEXT;
    static struct aiocb a;
    struct aiocb *list[1] = {&a};
    a = (struct aiocb){.aio_fildes = fd, .aio_buf = text, .aio_nbytes = SIZE, .aio_lio_opcode = LIO_WRITE};
    if ((listed ? lio_listio(LIO_NOWAIT, list, 1, NULL) : aio_write(&a)) != 0)
        return -1;
    while (aio_error(&a) == EINPROGRESS)
        usleep(1000);
    errno = aio_error(&a);
    return aio_return(&a);
}

static ssize_t by_stream(int fd)
{
    static FILE *stream;
    if (!stream)
        stream = fdopen(dup(fd), "w");
    CHECK(stream);
    clearerr(stream);
    setvbuf(stream, NULL, _IONBF, 0);
    int n = fprintf(stream, "%s", TEXT);
    return n;
}

/* Uses the instruction itself, on architectures for which it is given here. */
static ssize_t by_instruction(int fd)
{
#if defined __x86_64__
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "0"((long)SYS_write), "D"((long)fd), "S"(TEXT), "d"(SIZE)
                     : "rcx", "r11", "memory");
    if (r < 0)
        errno = (int)-r;
    return r < 0 ? -1 : r;
#elif defined __aarch64__
    register long r __asm__("x0") = fd, number __asm__("x8") = SYS_write;
    register const char *text __asm__("x1") = TEXT;
    register long n __asm__("x2") = SIZE;
    __asm__ volatile("svc 0" : "+r"(r) : "r"(number), "r"(text), "r"(n) : "memory");
    if (r < 0)
        errno = (int)-r;
    return r < 0 ? -1 : r;
#else
    return by_stream(fd);
#endif
}

static ssize_t write_text(int fd, const char *how)
{
    struct iovec iov = {(void *)(uintptr_t)TEXT, SIZE};
    errno = 0;
    if (strcmp(how, "splice") == 0)
        return by_splice(fd, false, false, false);
    if (strcmp(how, "syscall splice") == 0)
        return by_splice(fd, false, false, true);
    if (strcmp(how, "vmsplice") == 0)
        return by_splice(fd, true, false, false);
    if (strcmp(how, "tee") == 0)
        return by_splice(fd, false, true, false);
    if (strcmp(how, "sendfile") == 0)
        return by_sendfile(fd, false);
    if (strcmp(how, "syscall sendfile") == 0)
        return by_sendfile(fd, true);
    if (strcmp(how, "pwritev2") == 0)
        return pwritev2(fd, &iov, 1, -1, 0);
    if (strcmp(how, "syscall pwritev2") == 0)
        return syscall(SYS_pwritev2, (long)fd, &iov, 1L, -1L, -1L, 0L);
    if (strcmp(how, "aio_write") == 0)
        return by_aio(fd, false);
    if (strcmp(how, "lio_listio") == 0)
        return by_aio(fd, true);
    if (strcmp(how, "dprintf") == 0)
        return dprintf(fd, "%s", TEXT);
    if (strcmp(how, "stream") == 0)
        return by_stream(fd);
    CHECK(strcmp(how, "instruction") == 0);
    return by_instruction(fd);
}

static void wait_established(int fd)
{
    struct tcp_info info = {0};
    for (int i = 0; info.tcpi_state != TCP_ESTABLISHED && i < 5000; i++) {
        socklen_t len = sizeof info;
        CHECK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0);
        usleep(1000);
    }
}

int main(int argc, char **argv)
{
    struct peer peer = peer_from(argc, argv);
    CHECK(argc > 3);
    int fd = tcp_begin(&peer), wait = argc > 4 ? atoi(argv[4]) : 0;
    struct pollfd p = {fd, POLLOUT, 0};
    wait_established(fd);
    int ready = wait ? poll(&p, 1, wait) : 0;
    ssize_t n = write_text(fd, argv[3]);
    printf("%s ", n < 0 ? strerrorname_np(errno) : "written");
    if (!ready)
        wait_for(fd, POLLOUT);
    int error = so_error(fd);
    puts(error ? strerrorname_np(error) : "connected");
    if (!error && n < 0)
        echo(fd, "the first octets");
    return 0;
}

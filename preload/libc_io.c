/* Hooks that only the preload object has: the checked functions of _FORTIFY_SOURCE, what libc writes by itself,
 * asynchronous input and output, and io_uring. */
#include "hooks.h"
#include <aio.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* --- reads with _FORTIFY_SOURCE: libc's checks, behind the gate --- */

#define CHECKED(ret, name, params, args, fd, ours)                                                                     \
    ASIDE static ret ours_##name params                                                                                \
    {                                                                                                                  \
        return TO_LIBC(ours);                                                                                          \
    }                                                                                                                  \
    HOOK(ret, name, params)                                                                                            \
    {                                                                                                                  \
        if (s5_gate_stream(fd) && n <= size)                                                                           \
            return ours_##name args;                                                                                   \
        S5_NEXT(real, #name, ret, params);                                                                             \
        return real args;                                                                                              \
    }

CHECKED(ssize_t, __read_chk, (int fd, void *buf, size_t n, size_t size), (fd, buf, n, size), fd,
        ((void)size, s5_read(ENGINE, fd, buf, n)))
CHECKED(ssize_t, __recv_chk, (int fd, void *buf, size_t n, size_t size, int flags), (fd, buf, n, size, flags), fd,
        ((void)size, s5_recvfrom(ENGINE, fd, buf, n, flags, NULL, NULL)))
CHECKED(ssize_t, __recvfrom_chk,
        (int fd, void *buf, size_t n, size_t size, int flags, struct sockaddr *addr, socklen_t *len),
        (fd, buf, n, size, flags, addr, len), fd, ((void)size, s5_recvfrom(ENGINE, fd, buf, n, flags, addr, len)))

HOOK(int, __poll_chk, (struct pollfd * fds, nfds_t n, int timeout, size_t size))
{
    S5_NEXT(real, "__poll_chk", int, (struct pollfd *, nfds_t, int, size_t));
    /* libc reports a set that is smaller than stated. */
    return size / sizeof *fds < n ? real(fds, n, timeout, size) : poll(fds, n, timeout);
}

HOOK(int, __ppoll_chk,
     (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size))
{
    S5_NEXT(real, S5_SYMBOL(__ppoll_chk), int,
            (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t));
    return size / sizeof *fds < n ? real(fds, n, timeout, mask, size) : ppoll(fds, n, timeout, mask);
}

#if S5_TIME32
HOOK_AS(int, plain_ppoll_chk, "__ppoll_chk",
        (struct pollfd * fds, nfds_t n, const struct s5_timespec32 *timeout, const sigset_t *mask, size_t size))
{
    S5_NEXT(real, "__ppoll_chk", int,
            (struct pollfd *, nfds_t, const struct s5_timespec32 *, const sigset_t *, size_t));
    return size / sizeof *fds < n ? real(fds, n, timeout, mask, size) : hook_plain_ppoll(fds, n, timeout, mask);
}
#endif

/* --- what libc writes by itself --- */

/* Writes the text with one call of the engine: a datagram's header must be in front of it. */
static int print_datagram(int fd, const char *format, va_list args)
{
    char *text;
    int n = vasprintf(&text, format, args), r = n;
    if (n < 0)
        return n;
    if (n) /* as libc, which writes nothing then */
        r = (int)TO_LIBC(s5_write(ENGINE, fd, text, (size_t)n));
    free(text);
    return r;
}

/* 0: libc may write to FD; 1: it may not, and the engine writes; -1 and errno. */
static int prepare_print(int fd)
{
    if (!s5_gate_stream(fd))
        return 0;
    if (s5_io_is_relayed(ENGINE, fd))
        return 1;
    return (int)TO_LIBC(s5_io_await(ENGINE, fd, false, POLLOUT));
}

static int print_text(int fd, int checked, const char *format, va_list args)
{
    int how = prepare_print(fd);
    if (how)
        return how < 0 ? how : print_datagram(fd, format, args);
    if (checked < 0) {
        S5_NEXT(real, "vdprintf", int, (int, const char *, va_list));
        return real(fd, format, args);
    }
    S5_NEXT(real, "__vdprintf_chk", int, (int, int, const char *, va_list));
    return real(fd, checked, format, args);
}

#define PRINT(checked)                                                                                                 \
    va_list args;                                                                                                      \
    va_start(args, format);                                                                                            \
    int n = print_text(fd, checked, format, args);                                                                     \
    va_end(args);                                                                                                      \
    return n;

HOOK(int, vdprintf, (int fd, const char *format, va_list args))
{
    return print_text(fd, -1, format, args);
}

HOOK(int, __vdprintf_chk, (int fd, int checked, const char *format, va_list args))
{
    return print_text(fd, checked, format, args);
}

HOOK(int, dprintf, (int fd, const char *format, ...)){PRINT(-1)}

HOOK(int, __dprintf_chk, (int fd, int checked, const char *format, ...)){PRINT(checked)}

/* libc's threads read and write. A request begins only when the negotiation has ended. */
#define ASYNCHRONOUS(name, type)                                                                                       \
    HOOK(int, name, (struct type * what))                                                                              \
    {                                                                                                                  \
        if (s5_gate_stream(what->aio_fildes) && TO_LIBC(s5_io_await(ENGINE, what->aio_fildes, false, 0)) < 0)          \
            return -1;                                                                                                 \
        S5_NEXT(real, #name, int, (struct type *));                                                                    \
        return real(what);                                                                                             \
    }

ASYNCHRONOUS(aio_read, aiocb) ASYNCHRONOUS(aio_read64, aiocb64) ASYNCHRONOUS(aio_write, aiocb)
    ASYNCHRONOUS(aio_write64, aiocb64)

#define LIST(name, type)                                                                                               \
    HOOK(int, name, (int mode, struct type *const list[], int n, struct sigevent *event))                              \
    {                                                                                                                  \
        for (int i = 0; i < n; i++)                                                                                    \
            if (list[i] && list[i]->aio_lio_opcode != LIO_NOP && s5_gate_stream(list[i]->aio_fildes) &&                \
                TO_LIBC(s5_io_await(ENGINE, list[i]->aio_fildes, false, 0)) < 0)                                       \
                return -1;                                                                                             \
        S5_NEXT(real, #name, int, (int, struct type *const[], int, struct sigevent *));                                \
        return real(mode, list, n, event);                                                                             \
    }

        LIST(lio_listio, aiocb) LIST(lio_listio64, aiocb64)

    /* --- io_uring would connect where no hook sees it, and is refused. In a namespace it may --- */

    struct io_uring;
struct io_uring_params;

#define URING(name, params, args)                                                                                      \
    HOOK(int, name, params)                                                                                            \
    {                                                                                                                  \
        S5_NEXT(real, #name, int, params);                                                                             \
        return s5_begin()->in_namespace && real ? real args : -ENOSYS; /* as liburing does */                          \
    }

URING(io_uring_setup, (unsigned entries, struct io_uring_params *p), (entries, p))
URING(io_uring_queue_init, (unsigned entries, struct io_uring *ring, unsigned flags), (entries, ring, flags))
URING(io_uring_queue_init_params, (unsigned entries, struct io_uring *ring, struct io_uring_params *p),
      (entries, ring, p))

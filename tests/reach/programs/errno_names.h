/* The name of an errno, without a function of a libc: musl has no strerrorname_np(), and bare.c has no libc. */
#ifndef ERRNO_NAMES_H
#define ERRNO_NAMES_H

#include <errno.h>

static inline const char *errno_name(int error)
{
#define NAMED(error) [error] = #error
    static const char *const names[] = {
        NAMED(EACCES),       NAMED(EADDRINUSE),      NAMED(EADDRNOTAVAIL), NAMED(EAFNOSUPPORT), NAMED(EAGAIN),
        NAMED(EALREADY),     NAMED(EBADF),           NAMED(ECONNABORTED),  NAMED(ECONNREFUSED), NAMED(ECONNRESET),
        NAMED(EDESTADDRREQ), NAMED(EFAULT),          NAMED(EHOSTDOWN),     NAMED(EHOSTUNREACH), NAMED(EINPROGRESS),
        NAMED(EINTR),        NAMED(EINVAL),          NAMED(EIO),           NAMED(EISCONN),      NAMED(EMFILE),
        NAMED(EMSGSIZE),     NAMED(ENETDOWN),        NAMED(ENETRESET),     NAMED(ENETUNREACH),  NAMED(ENFILE),
        NAMED(ENOBUFS),      NAMED(ENODEV),          NAMED(ENOENT),        NAMED(ENOMEM),       NAMED(ENOPROTOOPT),
        NAMED(ENOSYS),       NAMED(ENOTCONN),        NAMED(ENOTSOCK),      NAMED(ENXIO),        NAMED(EOPNOTSUPP),
        NAMED(EPERM),        NAMED(EPFNOSUPPORT),    NAMED(EPIPE),         NAMED(EPROTO),       NAMED(EPROTONOSUPPORT),
        NAMED(EPROTOTYPE),   NAMED(ESOCKTNOSUPPORT), NAMED(ETIMEDOUT)};
#undef NAMED
    if (error > 0 && error < (int)(sizeof(names) / sizeof(names[0])) && names[error])
        return names[error];
    return "an errno without a name in errno_names.h";
}

#endif

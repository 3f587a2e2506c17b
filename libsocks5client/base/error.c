/* The texts are in switch statements because strerror() takes locks, allocates and follows the locale, none of
 * which a hook may do. They are glibc's texts in lower case: they follow a colon. */
#include "error.h"
#include <errno.h>
#include <limits.h>

static const char *get_network_text(int error)
{
    switch (error) {
    case EADDRINUSE:
        return "address already in use";
    case EADDRNOTAVAIL:
        return "cannot assign requested address";
    case EAFNOSUPPORT:
        return "address family not supported by protocol";
    case EALREADY:
        return "operation already in progress";
    case ECONNABORTED:
        return "software caused connection abort";
    case ECONNREFUSED:
        return "connection refused";
    case ECONNRESET:
        return "connection reset by peer";
    case EDESTADDRREQ:
        return "destination address required";
    case EHOSTDOWN:
        return "host is down";
    case EHOSTUNREACH:
        return "no route to host";
    case EINPROGRESS:
        return "operation now in progress";
    case EISCONN:
        return "transport endpoint is already connected";
    case EMSGSIZE:
        return "message too long";
    case ENETDOWN:
        return "network is down";
    case ENETRESET:
        return "network dropped connection on reset";
    case ENETUNREACH:
        return "network is unreachable";
    case ENOBUFS:
        return "no buffer space available";
    case ENOPROTOOPT:
        return "protocol not available";
    case ENOTCONN:
        return "transport endpoint is not connected";
    case ENOTSOCK:
        return "socket operation on non-socket";
    case EOPNOTSUPP:
        return "operation not supported";
    case EPFNOSUPPORT:
        return "protocol family not supported";
    case EPIPE:
        return "broken pipe";
    case EPROTO:
        return "protocol error";
    case EPROTONOSUPPORT:
        return "protocol not supported";
    case EPROTOTYPE:
        return "protocol wrong type for socket";
    case ESHUTDOWN:
        return "cannot send after transport endpoint shutdown";
    case ESOCKTNOSUPPORT:
        return "socket type not supported";
    case ETIMEDOUT:
        return "connection timed out";
    default:
        return "error";
    }
}

static const char *get_system_text(int error)
{
    switch (error) {
    case 0:
        return "success";
    case E2BIG:
        return "argument list too long";
    case EACCES:
        return "permission denied";
    case EAGAIN:
        return "resource temporarily unavailable";
    case EBADF:
        return "bad file descriptor";
    case EBADMSG:
        return "bad message";
    case EBUSY:
        return "device or resource busy";
    case ECANCELED:
        return "operation canceled";
    case EEXIST:
        return "file exists";
    case EFAULT:
        return "bad address";
    case EFBIG:
        return "file too large";
    case EILSEQ:
        return "invalid or incomplete multibyte or wide character";
    case EINTR:
        return "interrupted system call";
    case EINVAL:
        return "invalid argument";
    case EIO:
        return "input/output error";
    case EISDIR:
        return "is a directory";
    case ELOOP:
        return "too many levels of symbolic links";
    case EMFILE:
        return "too many open files";
    case ENAMETOOLONG:
        return "file name too long";
    case ENFILE:
        return "too many open files in system";
    case ENODATA:
        return "no data available";
    case ENODEV:
        return "no such device";
    case ENOENT:
        return "no such file or directory";
    case ENOEXEC:
        return "exec format error";
    case ENOMEM:
        return "cannot allocate memory";
    case ENOSPC:
        return "no space left on device";
    case ENOSYS:
        return "function not implemented";
    case ENOTDIR:
        return "not a directory";
    case ENOTTY:
        return "inappropriate ioctl for device";
    case ENXIO:
        return "no such device or address";
    case EOVERFLOW:
        return "value too large for defined data type";
    case EPERM:
        return "operation not permitted";
    case ERANGE:
        return "numerical result out of range";
    case EROFS:
        return "read-only file system";
    case ESRCH:
        return "no such process";
    case ESTALE:
        return "stale file handle";
    case ETXTBSY:
        return "text file busy";
    case EXDEV:
        return "invalid cross-device link";
    default:
        return get_network_text(error);
    }
}

const char *s5_error_text(int error)
{
    if (error == INT_MIN) /* cannot be negated; not an errno value */
        return "error";
    return get_system_text(error < 0 ? -error : error);
}

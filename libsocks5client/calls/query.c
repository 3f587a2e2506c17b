/* Queries of the program on a socket that may have a record: each kind has its own answers, and the kernel has the
 * rest. */
#include "query.h"
#include "blocking.h"
#include "fd_record.h"
#include "kind.h"
#include "kinds.h"
#include <errno.h>

/* Returns the kind of FD, and its record; NULL: none. */
static const struct s5_kind *get_kind(struct s5_engine *e, int fd, struct s5_record **ret)
{
    s5_cleanup_look_here();
    *ret = s5_fd_record(e, fd);
    return *ret ? s5_kind_of(*ret) : NULL;
}

int s5_getpeername(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct s5_record *record;
    const struct s5_kind *kind = get_kind(e, fd, &record);
    int r = kind && kind->getpeername ? kind->getpeername(e, record, fd, addr, len) : S5_KERNEL_KNOWS;
    if (r != S5_KERNEL_KNOWS)
        return r;
    return e->real->getpeername(fd, addr, len) == 0 ? 0 : -errno;
}

int s5_getsockname(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct s5_record *record;
    const struct s5_kind *kind = get_kind(e, fd, &record);
    int r = kind && kind->getsockname ? kind->getsockname(e, record, fd, addr, len) : S5_KERNEL_KNOWS;
    if (r != S5_KERNEL_KNOWS)
        return r;
    return e->real->getsockname(fd, addr, len) == 0 ? 0 : -errno;
}

int s5_getsockopt(struct s5_engine *e, int fd, int level, int name, void *value, socklen_t *len)
{
    struct s5_record *record;
    const struct s5_kind *kind = get_kind(e, fd, &record);
    int r = kind && kind->getsockopt ? kind->getsockopt(e, record, fd, level, name, value, len) : S5_KERNEL_KNOWS;
    if (r != S5_KERNEL_KNOWS)
        return r;
    return e->real->getsockopt(fd, level, name, value, len) == 0 ? 0 : -errno;
}

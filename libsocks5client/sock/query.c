/* What a program asks of a socket that is ours: whom it is connected to, and what became of it. */
#include "blocking.h"
#include "associate.h"
#include "listener.h"
#include "rcvlowat.h"
#include "user_memory.h"
#include <errno.h>
#include <string.h>

int s5_getpeername(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct s5_association *a = s5_associate_of(e, fd);
    struct sockaddr_storage kernel;
    socklen_t size = sizeof kernel;
    if (a && !s5_connect_stale(e, fd))
        return s5_associate_getpeername(e, a, fd, addr, len);
    struct s5_record *record = s5_connect_record(e, fd);
    if (s5_connect_flying(e, fd))
        return -ENOTCONN;
    if (!record || atomic_load(&record->state) != S5_RECORD_READY)
        return e->real->getpeername(fd, addr, len) == 0 ? 0 : -errno;
    if (e->real->getpeername(fd, (struct sockaddr *)&kernel, &size) != 0)
        return -errno;
    if (s5_connect_stale(e, fd)) /* closed and reused where no hook saw it */
        return e->real->getpeername(fd, addr, len) == 0 ? 0 : -errno;
    return s5_endpoint_tell(&record->peer, addr, len);
}

int s5_getsockname(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct sockaddr_storage kernel;
    struct s5_endpoint name = {.len = 0};
    socklen_t size = sizeof kernel;
    struct s5_association *a = s5_associate_of(e, fd);
    if (a && !s5_connect_stale(e, fd))
        return s5_associate_getsockname(e, a, fd, addr, len);
    struct s5_record *record = s5_connect_record(e, fd);
    uint32_t state = record ? atomic_load(&record->state) : S5_RECORD_FREE;
    const struct s5_record_more *more = record ? atomic_load(&record->more) : NULL;
    if (state == S5_RECORD_NAMED || state == S5_RECORD_LISTENING)
        s5_bind_name(e, record, fd, &name);
    else if (state == S5_RECORD_READY && more && more->local.len &&
             e->real->getpeername(fd, (struct sockaddr *)&kernel, &size) == 0 &&
             s5_connect_same(e, record, fd))
        name = more->local;
    if (!name.len)
        return e->real->getsockname(fd, addr, len) == 0 ? 0 : -errno;
    return s5_endpoint_tell(&name, addr, len);
}

/* The kernel tells something else of the same size first: that is how VALUE and LEN are found to be good
 * before the error is taken away. */
static int pending_error(struct s5_engine *e, struct s5_record *record, int fd, void *value,
                         socklen_t *len)
{
    if (atomic_load(&record->state) == S5_RECORD_FLYING)
        s5_connect_turn(e, record, 0);
    if (atomic_load(&record->state) == S5_RECORD_READY)
        return e->real->getsockopt(fd, SOL_SOCKET, SO_ERROR, value, len) == 0 ? 0 : -errno;
    if (e->real->getsockopt(fd, SOL_SOCKET, SO_TYPE, value, len) != 0)
        return -errno;
    int r = s5_connect_outcome(e, record, fd), error = r < 0 ? -r : 0;
    memcpy(value, &error, *len);
    return 0;
}

int s5_getsockopt(struct s5_engine *e, int fd, int level, int name, void *value, socklen_t *len)
{
    s5_blocking_look();
    struct s5_record *record = s5_connect_record(e, fd);
    struct s5_association *a = s5_associate_of(e, fd);
    if (a)
        return s5_associate_getsockopt(e, a, fd, level, name, value, len);
    if (record && level == SOL_SOCKET && name == SO_ERROR)
        return pending_error(e, record, fd, value, len);
    if (record && level == SOL_SOCKET && name == SO_RCVLOWAT && value && len)
        return s5_rcvlowat_get(e, fd, value, len);
    return e->real->getsockopt(fd, level, name, value, len) == 0 ? 0 : -errno;
}

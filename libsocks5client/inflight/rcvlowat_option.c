/* SO_RCVLOWAT of the program. While FD is in flight, the negotiation keeps the program's value and the socket has 1. */
#include "rcvlowat_option.h"
#include "complete.h"
#include "fd_record.h"
#include "pool.h"
#include "rcvlowat.h"
#include <errno.h>
#include <string.h>

/* Returns FD's negotiation, held and locked; NULL: it has none. */
static struct s5_negotiation *lock_negotiation(struct s5_engine *e, int fd)
{
    struct s5_record *record = s5_complete_find(e, fd);
    struct s5_negotiation *f = record ? s5_fd_hold_negotiation(e, record) : NULL;
    if (!f || s5_negotiation_lock(e, f))
        return f;
    s5_negotiation_release(e, f);
    return NULL;
}

static void unlock_negotiation(struct s5_engine *e, struct s5_negotiation *f)
{
    s5_negotiation_unlock(f);
    s5_negotiation_release(e, f);
}

int s5_rcvlowat_set(struct s5_engine *e, int fd, const void *value, socklen_t len)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    struct s5_negotiation *f = lock_negotiation(e, fd);
    int r = e->real->setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, value, len) == 0 ? 0 : -errno;
    if (r == 0 && shm)
        atomic_store(&shm->rcvlowat_used, 1);
    if (r == 0 && f && atomic_load(&f->phase) < S5_NEGOTIATION_READY)
        s5_rcvlowat_override(e, f, fd);
    if (f)
        unlock_negotiation(e, f);
    return r;
}

int s5_rcvlowat_get(struct s5_engine *e, int fd, void *value, socklen_t *len)
{
    struct s5_negotiation *f = lock_negotiation(e, fd);
    int own = f ? f->rcvlowat : 0;
    if (f)
        unlock_negotiation(e, f);
    if (e->real->getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, value, len) != 0)
        return -errno;
    if (own)
        memcpy(value, &own, *len < sizeof own ? *len : sizeof own);
    return 0;
}

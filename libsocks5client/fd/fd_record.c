/* Records by descriptor: look-up, references, and disposal.
 *
 * A descriptor may be closed and its number reused without a call of a hook. Then SO_COOKIE of the socket differs from
 * the one in the record, and the record is forgotten. */
#include "fd_record.h"
#include "fd_notes.h"
#include "kind.h"
#include "pool.h"
#include "registry.h"
#include <errno.h>

struct s5_negotiation *s5_fd_hold_negotiation(struct s5_engine *e, const struct s5_record *record)
{
    struct s5_negotiation *f = atomic_load(&record->negotiation);
    if (!f || atomic_load(&record->state) != S5_RECORD_IN_FLIGHT)
        return NULL;
    return s5_negotiation_hold(e, f, record->negotiation_generation) ? f : NULL;
}

/* RECORD has neither a descriptor nor a holder any more. */
void s5_fd_dispose_record(struct s5_engine *e, struct s5_record *record)
{
    uint32_t state = atomic_load(&record->state);
    struct s5_negotiation *f = atomic_exchange(&record->negotiation, NULL);
    if (state == S5_RECORD_IN_FLIGHT) {
        s5_registry_inflight_remove(&e->registry, record);
        if (f && s5_negotiation_generation(f) == record->negotiation_generation)
            s5_negotiation_release(e, f);
    } else if (state == S5_RECORD_FAILED)
        s5_registry_attend(&e->registry, -1);
    if (atomic_load(&record->more) || record->relayed)
        S5_EACH_KIND(kind, end)
    kind->end(e, record);
    s5_registry_free(&e->registry, record);
}

__attribute__((noinline, cold)) void s5_fd_release_record(struct s5_engine *e, struct s5_record *record)
{
    if (s5_record_release(record))
        s5_fd_dispose_record(e, record);
}

/* Returns RECORD, held, where FD still names it; else NULL. */
static struct s5_record *hold_named(struct s5_engine *e, struct s5_record *record, int fd)
{
    if (!record || !s5_record_hold(record))
        return NULL;
    if (s5_registry_find(&e->registry, fd) == record)
        return record;
    s5_fd_release_record(e, record); /* it was closed meanwhile, and may belong to another socket */
    return NULL;
}

__attribute__((noinline, cold)) struct s5_record *s5_fd_hold_record(struct s5_engine *e, int fd)
{
    return hold_named(e, s5_fd_record(e, fd), fd);
}

uint64_t s5_fd_cookie(struct s5_engine *e, int fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    int saved = errno;
    if (e->real->getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) != 0)
        cookie = 0;
    errno = saved;
    return cookie;
}

/* Whether FD is a socket. True where this cannot be found out: a negotiation that a thread waits for must not be
 * forgotten without proof. */
static __attribute__((noinline, cold)) bool is_socket(struct s5_engine *e, int fd)
{
    int type, saved = errno;
    socklen_t len = sizeof type;
    bool is = e->real->getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 || (errno != EBADF && errno != ENOTSOCK);
    errno = saved;
    return is;
}

/* Whether FD names the socket with the cookie KNOWN. */
bool s5_fd_has_cookie(struct s5_engine *e, uint64_t known, int fd)
{
    uint64_t cookie = s5_fd_cookie(e, fd);
    return __builtin_expect(cookie == known, 1) || !known || (!cookie && is_socket(e, fd));
}

bool s5_fd_is_same_socket(struct s5_engine *e, const struct s5_record *record, int fd)
{
    return s5_fd_has_cookie(e, record->cookie, fd);
}

void s5_fd_forget_record(struct s5_engine *e, struct s5_record *record, int fd)
{
    if (!s5_record_hold(record))
        return;
    /* A step in progress on this descriptor must end before the number is reused. A thread that waits for the lock must
     * see that the descriptor was forgotten, so the record is dropped before the lock is released. */
    struct s5_negotiation *f = s5_fd_hold_negotiation(e, record);
    bool locked = f && s5_negotiation_lock(e, f);
    if (s5_registry_find(&e->registry, fd) == record) {
        if (atomic_load(&record->more))
            S5_EACH_KIND(kind, close)
        kind->close(e, record);
        s5_registry_drop_record(&e->registry, fd, record);
    }
    if (locked)
        s5_negotiation_unlock(f);
    if (f)
        s5_negotiation_release(e, f);
    s5_fd_release_record(e, record);
}

void s5_fd_forget(struct s5_engine *e, int fd)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    if (record)
        s5_fd_forget_record(e, record, fd);
}

/* Another thread may close FD meanwhile and reuse the number for a connection of its own, which must be kept. */
bool s5_fd_forget_stale(struct s5_engine *e, int fd)
{
    struct s5_record *record = hold_named(e, s5_registry_find(&e->registry, fd), fd);
    if (!record)
        return false;
    bool stale = !s5_fd_is_same_socket(e, record, fd);
    if (stale)
        s5_fd_forget_record(e, record, fd);
    s5_fd_release_record(e, record);
    return stale;
}

struct s5_record *s5_fd_checked_record(struct s5_engine *e, int fd, uint64_t *ret_cookie)
{
    struct s5_slot *slot = s5_registry_slot(&e->registry, fd);
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    if (!record || !s5_registry_needs_check(slot))
        return record;
    uint64_t cookie = s5_fd_cookie(e, fd);
    if (cookie == record->cookie) { /* a child of vfork had closed its own descriptor */
        s5_registry_set_needs_check(&e->registry, fd, false);
        return record;
    }
    if (atomic_load(&record->state) != S5_RECORD_READY)
        s5_fd_forget_record(e, record, fd);
    else if (s5_registry_drop_unchecked(&e->registry, fd, record)) /* happens as often as a connection is closed */
        s5_registry_free(&e->registry, record);
    if (s5_registry_watched(slot))
        s5_registry_unwatch_all(&e->registry, fd);
    *ret_cookie = cookie;
    return NULL;
}

/* Out of line, for all callers but connect(), into which s5_fd_checked_record() is inlined. */
__attribute__((noinline, cold)) struct s5_record *s5_fd_checked_record_slowly(struct s5_engine *e, int fd)
{
    uint64_t cookie;
    return s5_fd_checked_record(e, fd, &cookie);
}

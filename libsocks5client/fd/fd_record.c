/* Records by descriptor: the one that a descriptor has, references to it, and its end.
 *
 * A descriptor may be closed, and its number reused, where no hook is called. SO_COOKIE of the socket then differs
 * from the one in the record, and the record is forgotten. */
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

/* RECORD has no name any more and nobody is at it. */
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

/* RECORD, held where FD names it still; else NULL. */
static struct s5_record *hold_named(struct s5_engine *e, struct s5_record *record, int fd)
{
    if (!record || !s5_record_hold(record))
        return NULL;
    if (s5_registry_find(&e->registry, fd) == record)
        return record;
    s5_fd_release_record(e, record); /* it was closed meanwhile, and may be another's */
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

/* What cannot be told is no reason to forget a negotiation that somebody waits for. */
static __attribute__((noinline, cold)) bool is_socket(struct s5_engine *e, int fd)
{
    int type, saved = errno;
    socklen_t len = sizeof type;
    bool is = e->real->getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 || (errno != EBADF && errno != ENOTSOCK);
    errno = saved;
    return is;
}

/* Whether FD names the socket that KNOWN is the cookie of. */
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
    /* A turn under way on this descriptor must end before the number means something else. Whoever waits for
     * his turn is to see it, so the name goes before the lock is left. */
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

/* Another thread may close FD meanwhile and give the number to a connection of its own, which stays. */
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
    if (cookie == record->cookie) { /* a child of vfork had closed its own */
        s5_registry_set_needs_check(&e->registry, fd, false);
        return record;
    }
    if (atomic_load(&record->state) != S5_RECORD_READY)
        s5_fd_forget_record(e, record, fd);
    else if (s5_registry_drop_unchecked(&e->registry, fd, record)) /* as often as one is closed */
        s5_registry_free(&e->registry, record);
    if (s5_registry_watched(slot))
        s5_registry_unwatch_all(&e->registry, fd);
    *ret_cookie = cookie;
    return NULL;
}

/* Apart from connect(), which has the one above in itself. */
__attribute__((noinline, cold)) struct s5_record *s5_fd_checked_record_slowly(struct s5_engine *e, int fd)
{
    uint64_t cookie;
    return s5_fd_checked_record(e, fd, &cookie);
}

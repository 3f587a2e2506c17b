/* Descriptors come and go: duplication, closing, and what goes through an exec.
 *
 * A child of vfork shares our memory but not our descriptors: what it closes or duplicates changes
 * nothing here. The tree's own descriptors are hidden: closing one is refused, ranges are closed
 * around them, and a program that wants the number of one for itself has both moved away. */
#include "fd_ops.h"
#include "cleanup.h"
#include "fd_notes.h"
#include "fd_record.h"
#include "in_engine.h"
#include "internal_fd.h"
#include "kind.h"
#include "process.h"
#include "registry.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/resource.h>

bool s5_fd_is_internal(struct s5_engine *e, int fd)
{
    return s5_shm_has(atomic_load(&e->shm_fd), fd) || s5_internal_fd_is(e, fd);
}

int s5_close(struct s5_engine *e, int fd)
{
    s5_blocking_look();
    return s5_close_own(e, fd);
}

int s5_close_own(struct s5_engine *e, int fd)
{
    const struct s5_record *record = s5_registry_find(&e->registry, fd);
    uint32_t state = record ? atomic_load(&record->state) : S5_RECORD_FREE;
    if (record && (state == S5_RECORD_INTERNAL || state == S5_RECORD_IN_FLIGHT) && s5_internal_fd_is(e, fd))
        return -EBADF;
    if (s5_shm_has(atomic_load(&e->shm_fd), fd))
        return -EBADF;
    /* Asking the kernel who we are costs as much as the close itself: a record that holds nothing
     * but names may stay, in doubt. A resolver's socket holds a place among the dns_clients. */
    if (state == S5_RECORD_READY && !atomic_load(&record->more))
        s5_registry_set_needs_check(&e->registry, fd, true);
    else if (s5_engine_owns_memory(e))
        s5_fd_forget(e, fd);
    return e->real->close(fd) == 0 ? 0 : -errno;
}

/* DOUBT: other threads may have them open still. */
static void forget_range(struct s5_engine *e, unsigned first, unsigned last, bool needs_check)
{
    for (unsigned fd = first; fd <= last && fd < S5_CHUNKS * S5_CHUNK_SLOTS; fd++) {
        if (!s5_registry_slot(&e->registry, (int)fd))
            fd |= S5_CHUNK_SLOTS - 1; /* on to the next chunk */
        else if (s5_registry_foreign(&e->registry, (int)fd) || s5_internal_fd_is(e, (int)fd))
            continue;
        else if (needs_check)
            s5_registry_set_needs_check(&e->registry, (int)fd, true);
        else
            s5_fd_forget(e, (int)fd);
    }
}

/* An empty range tells first whether the kernel takes FLAGS, so that nothing is given up for a call that
 * fails. With CLOSE_RANGE_UNSHARE this thread has a table of descriptors of its own from then on: sockets
 * stay open for other threads, so their records are kept and marked as doubtful. */
int s5_close_range(struct s5_engine *e, unsigned first, unsigned last, int flags)
{
    int r = 0;
    s5_blocking_look();
    if (first > last || e->real->close_range(UINT_MAX, UINT_MAX, flags) != 0)
        return e->real->close_range(first, last, flags) == 0 ? 0 : -errno;
    if (!(flags & CLOSE_RANGE_CLOEXEC) && s5_engine_owns_memory(e))
        forget_range(e, first, last, (flags & CLOSE_RANGE_UNSHARE) && !S5_SINGLE_THREADED);
    flags &= ~CLOSE_RANGE_UNSHARE;
    while (r == 0 && first <= last) {
        int internal = first > INT_MAX ? -1 : s5_internal_fd_from(e, (int)first);
        if (internal < 0 || (unsigned)internal > last)
            return e->real->close_range(first, last, flags) == 0 ? 0 : -errno;
        if ((unsigned)internal > first)
            r = e->real->close_range(first, (unsigned)internal - 1, flags);
        first = (unsigned)internal + 1;
    }
    return r == 0 ? 0 : -errno;
}

void s5_closefrom(struct s5_engine *e, int first)
{
    struct rlimit limit = {1024, 1024};
    int saved = errno;
    if (s5_close_range(e, first < 0 ? 0 : (unsigned)first, ~0u, 0) < 0) {
        getrlimit(RLIMIT_NOFILE, &limit); /* a kernel without close_range: one by one */
        for (int fd = first < 0 ? 0 : first; fd < (int)limit.rlim_cur; fd++)
            s5_close(e, fd);
    }
    errno = saved;
}

/* A descriptor that is about to be duplicated: its record, held since another thread may close it meanwhile. */
struct original {
    int fd;
    bool owns; /* false: nothing is changed */
    struct s5_record *record;
};

static struct original original(struct s5_engine *e, int fd)
{
    struct original from = {fd, !s5_in_engine && s5_engine_owns_memory(e), NULL};
    if (from.owns)
        from.record = s5_fd_hold_record(e, fd);
    return from;
}

/* TO names RECORD's socket, unless FD was closed, and became another's, before it was duplicated. */
static bool share(struct s5_engine *e, const struct original *from, int to)
{
    if (s5_registry_find(&e->registry, from->fd) != from->record && !s5_fd_is_same_socket(e, from->record, to))
        return true;
    int r;
    while ((r = s5_registry_share(&e->registry, to, from->record)) == -EALREADY)
        s5_fd_forget(e, to);
    return r == 0;
}

/* FROM has a second name now, TO; or a call that would give it one failed, with TO. */
static int doubled(struct s5_engine *e, const struct original *from, int to)
{
    if (to >= 0 && from->owns && !s5_registry_foreign(&e->registry, to)) { /* of a life before */
        s5_fd_forget(e, to);
        s5_registry_unwatch_all(&e->registry, to);
    }
    if (to >= 0 && from->owns && !from->record)
        s5_registry_note_dup(&e->registry, from->fd, to);
    if (!from->record)
        return to;
    if (to >= 0 && !share(e, from, to)) {
        e->real->close(to);
        to = -EMFILE;
    }
    s5_fd_release_record(e, from->record);
    return to;
}

int s5_dup(struct s5_engine *e, int fd)
{
    struct original from = original(e, fd);
    int to = e->real->dup(fd);
    return doubled(e, &from, to < 0 ? -errno : to);
}

/* The tree's descriptors go elsewhere, and their numbers but FD are free. */
static void move_shm(struct s5_engine *e, int fd)
{
    int saved = errno, was = e->place.fd;
    struct s5_shm_location place = e->place;
    /* Either may be the program's own by now. */
    bool shm = s5_shm_is(was, place.inode), policy = s5_shm_has_policy(atomic_load(&e->shm), was);
    int second = policy ? was + 1 : was;
    place.fd = shm ? s5_shm_duplicate(was, second, was + S5_SHM_FDS) : -1;
    if (shm && place.fd < 0)
        place.fd = s5_shm_duplicate(was, second, 16);
    s5_engine_set_shm_location(e, &place);
    if (fd == was ? policy : shm)
        e->real->close(fd == was ? was + 1 : was);
    errno = saved;
}

/* FD is to have another meaning: a hidden descriptor moves away from it. Whether there was one. */
static bool make_way(struct s5_engine *e, int fd)
{
    bool shm = s5_shm_has(atomic_load(&e->shm_fd), fd), internal = s5_internal_fd_is(e, fd);
    if (shm)
        move_shm(e, fd);
    if (internal)
        s5_internal_fd_move(e, fd);
    return shm || internal;
}

/* The number that one had is another descriptor's, or closed. */
static void way_is_made(struct s5_engine *e)
{
    s5_process_lock_again(atomic_load(&e->shm_fd), atomic_load(&e->process_number));
}

void s5_fd_clear_number(struct s5_engine *e, int fd)
{
    int saved = errno;
    if (fd >= 0 && s5_engine_owns_memory(e) && make_way(e, fd)) {
        e->real->close(fd);
        way_is_made(e);
    }
    errno = saved;
}

/* Why the kernel would refuse to make TO a duplicate of FD: -errno, or 0. */
static int why_refused(struct s5_engine *e, int fd, int to, int flags)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_NOFILE, &limit);
    if (flags & ~O_CLOEXEC)
        return -EINVAL;
    if ((rlim_t)to >= limit.rlim_cur)
        return -EBADF;
    return e->real->fcntl(fd, F_GETFD, 0) < 0 ? -errno : 0;
}

/* The call failed all the same, after TO was given up: another thread closed the descriptor that it was to
 * duplicate. What TO still is has no record any more, so nothing may be sent on it. */
static void shut(struct s5_engine *e, int to, uint32_t state)
{
    if (state == S5_RECORD_IN_FLIGHT || state == S5_RECORD_RELAYED)
        e->real->shutdown(to, SHUT_RDWR);
}

/* TO, which is ours or hidden, becomes a duplicate of FD. It is given up before the call, so that no turn of
 * a negotiation meets the new meaning of the number. */
static int replace(struct s5_engine *e, int fd, int to, int flags)
{
    const struct s5_record *record = s5_registry_find(&e->registry, to);
    uint32_t state = record ? atomic_load(&record->state) : S5_RECORD_FREE;
    int r = why_refused(e, fd, to, flags);
    if (r < 0)
        return r;
    bool moved = make_way(e, to);
    s5_fd_forget(e, to);
    r = e->real->dup3(fd, to, flags) < 0 ? -errno : to;
    if (r < 0)
        shut(e, to, state);
    if (r < 0 && moved)
        e->real->close(to);
    if (moved)
        way_is_made(e);
    return r;
}

int s5_dup3(struct s5_engine *e, int fd, int to, int flags, bool dup2)
{
    s5_blocking_look();
    struct original from = original(e, fd);
    int r;
    if (fd != to && to >= 0 && (!s5_registry_foreign(&e->registry, to) || s5_fd_is_internal(e, to)) &&
        s5_engine_owns_memory(e))
        r = replace(e, fd, to, flags);
    else
        r = (dup2 ? e->real->dup2(fd, to) : e->real->dup3(fd, to, flags)) < 0 ? -errno : to;
    if (fd != to)
        return doubled(e, &from, r);
    if (from.record)
        s5_fd_release_record(e, from.record);
    return r;
}

int s5_fcntl(struct s5_engine *e, int fd, int command, long arg)
{
    bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    struct original from = {fd, false, NULL};
    if (duplicates)
        from = original(e, fd);
    int r = e->real->fcntl(fd, command, arg);
    r = r < 0 ? -errno : r;
    return duplicates ? doubled(e, &from, r) : r;
}

/* --- exec --- */

bool s5_fd_export_all(struct s5_engine *e)
{
    bool any = false;
    S5_EACH_KIND(kind, export)
    any |= kind->export(e);
    return any;
}

void s5_fd_export_cancel(struct s5_engine *e)
{
    int saved = errno;
    S5_EACH_KIND(kind, export_cancel)
    kind->export_cancel(e);
    errno = saved;
}

/* Programs set FD_CLOEXEC for every number, one by one or by close_range(). They see what they have set, and it
 * is taken back where it would take effect. Once that is so no hook need have seen how it was set. */
void s5_fd_inherit_shm(struct s5_engine *e)
{
    int first = atomic_load(&e->shm_fd), saved = errno;
    for (int fd = first; s5_shm_has(first, fd); fd++) {
        int flags = e->real->fcntl(fd, F_GETFD, 0);
        bool changed = flags > 0 && (flags & FD_CLOEXEC);
        if (changed && (fd == first ? s5_shm_is(fd, e->place.inode) : s5_shm_has_policy(atomic_load(&e->shm), first)))
            e->real->fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC);
    }
    errno = saved;
}

static void import_one(struct s5_engine *e, int fd)
{
    uint64_t cookie = s5_fd_cookie(e, fd);
    if (cookie)
        S5_EACH_KIND(kind, import)
    if (kind->import(e, fd, cookie))
        return;
}

void s5_fd_import_all(struct s5_engine *e)
{
    enum { BATCH = 512, MOST = 65536 };
    struct pollfd fds[BATCH];
    struct rlimit limit = {MOST, MOST};
    if (!atomic_load(&e->shm))
        return;
    getrlimit(RLIMIT_NOFILE, &limit);
    int end = limit.rlim_cur < MOST ? (int)limit.rlim_cur : MOST;
    for (int from = 0; from < end; from += BATCH) {
        for (int i = 0; i < BATCH; i++)
            fds[i] = (struct pollfd){from + i, 0, 0};
        nfds_t n = (nfds_t)(end - from < BATCH ? end - from : BATCH);
        if (e->real->poll(fds, n, 0) < 0) /* it may need memory: then each is looked at */
            for (nfds_t i = 0; i < n; i++)
                fds[i].revents = 0;
        for (nfds_t i = 0; i < n; i++)
            if (!(fds[i].revents & POLLNVAL))
                import_one(e, fds[i].fd);
    }
    S5_EACH_KIND(kind, imported)
    kind->imported(e);
}

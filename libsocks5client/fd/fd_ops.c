/* Operations on descriptors: duplication, closing, and what goes through an exec.
 *
 * A child of vfork shares the memory of its parent but not its descriptors: what it closes or duplicates changes
 * nothing here. The descriptors of the shared memory and of the policy are internal: closing one is refused, ranges are
 * closed around them, and both are moved when a program uses the number of one for a duplicate. */
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
    s5_cleanup_look_here();
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
    /* s5_engine_owns_memory() costs as much as the close itself. A record that holds nothing but names is therefore
     * kept and marked as S5_SLOT_NEEDS_CHECK. The socket of a DNS client holds an entry among the dns_clients. */
    if (state == S5_RECORD_READY && !atomic_load(&record->more))
        s5_registry_set_needs_check(&e->registry, fd, true);
    else if (s5_engine_owns_memory(e))
        s5_fd_forget(e, fd);
    return e->real->close(fd) == 0 ? 0 : -errno;
}

/* Forgets the records from FIRST to LAST. NEEDS_CHECK: only marks them, because other threads may still have the
 * descriptors open. */
static void forget_range(struct s5_engine *e, unsigned first, unsigned last, bool needs_check)
{
    for (unsigned fd = first; fd <= last && fd < S5_CHUNKS * S5_CHUNK_SLOTS; fd++) {
        if (!s5_registry_slot(&e->registry, (int)fd))
            fd |= S5_CHUNK_SLOTS - 1; /* skips to the next chunk */
        else if (s5_registry_foreign(&e->registry, (int)fd) || s5_internal_fd_is(e, (int)fd))
            continue;
        else if (needs_check)
            s5_registry_set_needs_check(&e->registry, (int)fd, true);
        else
            s5_fd_forget(e, (int)fd);
    }
}

/* A call with an empty range first tests whether the kernel accepts FLAGS, so that no record is forgotten for a call
 * that fails. With CLOSE_RANGE_UNSHARE this thread has a descriptor table of its own from then on. The sockets remain
 * open for other threads, so their records are kept and marked as S5_SLOT_NEEDS_CHECK. */
int s5_close_range(struct s5_engine *e, unsigned first, unsigned last, int flags)
{
    int r = 0;
    s5_cleanup_look_here();
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

/* A descriptor that is about to be duplicated. Its record is held, because another thread may close it meanwhile. */
struct dup_source {
    int fd;
    bool owns; /* false: the registry is not changed */
    struct s5_record *record;
};

static struct dup_source hold_dup_source(struct s5_engine *e, int fd)
{
    struct dup_source from = {fd, !s5_in_engine && s5_engine_owns_memory(e), NULL};
    if (from.owns)
        from.record = s5_fd_hold_record(e, fd);
    return from;
}

/* Makes TO another name of FROM's record, unless FROM's number was closed and reused before it was duplicated. */
static bool share_with_duplicate(struct s5_engine *e, const struct dup_source *from, int to)
{
    if (s5_registry_find(&e->registry, from->fd) != from->record && !s5_fd_is_same_socket(e, from->record, to))
        return true;
    int r;
    while ((r = s5_registry_share(&e->registry, to, from->record)) == -EALREADY)
        s5_fd_forget(e, to);
    return r == 0;
}

/* Notes that FROM was duplicated to TO; a negative TO is the error of the call. Releases the hold on the record.
 * Returns TO or -errno. */
static int note_duplicate(struct s5_engine *e, const struct dup_source *from, int to)
{
    if (to >= 0 && from->owns && !s5_registry_foreign(&e->registry, to)) { /* of an earlier use of the number */
        s5_fd_forget(e, to);
        s5_registry_unwatch_all(&e->registry, to);
    }
    if (to >= 0 && from->owns && !from->record)
        s5_registry_note_dup(&e->registry, from->fd, to);
    if (!from->record)
        return to;
    if (to >= 0 && !share_with_duplicate(e, from, to)) {
        e->real->close(to);
        to = -EMFILE;
    }
    s5_fd_release_record(e, from->record);
    return to;
}

int s5_dup(struct s5_engine *e, int fd)
{
    struct dup_source from = hold_dup_source(e, fd);
    int to = e->real->dup(fd);
    return note_duplicate(e, &from, to < 0 ? -errno : to);
}

/* Moves the descriptors of the shared memory to other numbers. Closes the old ones except FD. */
static void move_shm_fds(struct s5_engine *e, int fd)
{
    int saved = errno, was = e->place.fd;
    struct s5_shm_location place = e->place;
    /* Either number may be a descriptor of the program by now. */
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

/* FD is about to be reused: moves an internal descriptor away from it. Returns whether there was one. */
static bool vacate_number(struct s5_engine *e, int fd)
{
    bool shm = s5_shm_has(atomic_load(&e->shm_fd), fd), internal = s5_internal_fd_is(e, fd);
    if (shm)
        move_shm_fds(e, fd);
    if (internal)
        s5_internal_fd_move(e, fd);
    return shm || internal;
}

/* To be called after an internal descriptor's old number was closed or reused: a close drops the process's lock. */
static void restore_process_lock(struct s5_engine *e)
{
    s5_process_lock_again(atomic_load(&e->shm_fd), atomic_load(&e->process_number));
}

void s5_fd_clear_number(struct s5_engine *e, int fd)
{
    int saved = errno;
    if (fd >= 0 && s5_engine_owns_memory(e) && vacate_number(e, fd)) {
        e->real->close(fd);
        restore_process_lock(e);
    }
    errno = saved;
}

/* Returns the error with which the kernel would refuse to make TO a duplicate of FD: -errno, or 0. */
static int check_dup3(struct s5_engine *e, int fd, int to, int flags)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_NOFILE, &limit);
    if (flags & ~O_CLOEXEC)
        return -EINVAL;
    if ((rlim_t)to >= limit.rlim_cur)
        return -EBADF;
    return e->real->fcntl(fd, F_GETFD, 0) < 0 ? -errno : 0;
}

/* The call failed in spite of the check, after TO was forgotten: another thread closed the descriptor to duplicate. TO
 * is still open but has no record any more, so nothing may be sent on it. */
static void shut_down_forgotten(struct s5_engine *e, int to, uint32_t state)
{
    if (state == S5_RECORD_IN_FLIGHT || state == S5_RECORD_RELAYED)
        e->real->shutdown(to, SHUT_RDWR);
}

/* Makes TO, which has a record or is internal, a duplicate of FD. TO is forgotten before the call, so that no step of a
 * negotiation uses the number with its new meaning. */
static int replace_fd(struct s5_engine *e, int fd, int to, int flags)
{
    const struct s5_record *record = s5_registry_find(&e->registry, to);
    uint32_t state = record ? atomic_load(&record->state) : S5_RECORD_FREE;
    int r = check_dup3(e, fd, to, flags);
    if (r < 0)
        return r;
    bool moved = vacate_number(e, to);
    s5_fd_forget(e, to);
    r = e->real->dup3(fd, to, flags) < 0 ? -errno : to;
    if (r < 0)
        shut_down_forgotten(e, to, state);
    if (r < 0 && moved)
        e->real->close(to);
    if (moved)
        restore_process_lock(e);
    return r;
}

int s5_dup3(struct s5_engine *e, int fd, int to, int flags, bool dup2)
{
    s5_cleanup_look_here();
    struct dup_source from = hold_dup_source(e, fd);
    int r;
    if (fd != to && to >= 0 && (!s5_registry_foreign(&e->registry, to) || s5_fd_is_internal(e, to)) &&
        s5_engine_owns_memory(e))
        r = replace_fd(e, fd, to, flags);
    else
        r = (dup2 ? e->real->dup2(fd, to) : e->real->dup3(fd, to, flags)) < 0 ? -errno : to;
    if (fd != to)
        return note_duplicate(e, &from, r);
    if (from.record)
        s5_fd_release_record(e, from.record);
    return r;
}

int s5_fcntl(struct s5_engine *e, int fd, int command, long arg)
{
    bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    struct dup_source from = {fd, false, NULL};
    if (duplicates)
        from = hold_dup_source(e, fd);
    int r = e->real->fcntl(fd, command, arg);
    r = r < 0 ? -errno : r;
    return duplicates ? note_duplicate(e, &from, r) : r;
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

/* Some programs set FD_CLOEXEC for every number, one by one or by close_range(). They see the flag that they have set;
 * it is cleared just before an exec, where it would take effect. So the hooks do not have to see how it was set. */
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

static void import_fd(struct s5_engine *e, int fd)
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
        if (e->real->poll(fds, n, 0) < 0) /* it may fail for lack of memory: then each number is tried */
            for (nfds_t i = 0; i < n; i++)
                fds[i].revents = 0;
        for (nfds_t i = 0; i < n; i++)
            if (!(fds[i].revents & POLLNVAL))
                import_fd(e, fds[i].fd);
    }
    S5_EACH_KIND(kind, imported)
    kind->imported(e);
}

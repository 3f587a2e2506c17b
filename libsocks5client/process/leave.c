/* A process that changes its user or group IDs may have to stop sharing memory.
 *
 * The shared memory belongs to the user that made it. A process has that user's rights as long as one of its user IDs
 * is the file's, and one of its group IDs is the file's or one of its user IDs is root's. Until then it can get both
 * back, or could write the memory of the user's processes by other means. A process without these rights leaves the
 * shared memory: a private copy replaces it.
 *
 *   - The policy is kept, because no process can write it.
 *   - The copy keeps what was looked up, so that addresses keep their names.
 *   - Negotiations of other processes are cleared in the copy, because they contain passwords.
 *   - A negotiation that this process shares with others fails in this process and continues in the others: two copies
 *     of one state cannot follow the same socket. A listener that others have ends in the same way. A process that has
 *     ended does not share anything.
 *   - In the shared memory this process counts as ended, because its lock there is dropped with the descriptor
 *     (shm/process.h).
 *
 * Other threads run meanwhile. The copy is made and cleared before another thread can see it, and then replaces the
 * shared memory atomically. The copy lacks what a thread writes to the shared memory in between, so:
 *   - No thread begins a negotiation (negotiate/pool.c tests E->leaving), and those being begun are waited for.
 *   - The locks of this process's negotiations are held, so that no step is interrupted.
 *   - Each of these negotiations has additional references that are never released: a thread may release one in the
 *     copy that it took in the shared memory.
 *   - The list of free negotiations is empty in the copy, because another process may have been changing it. An unused
 *     negotiation of the copy gets a later generation and a reference of a process that has ended: it is reclaimed when
 *     negotiations are short.
 *   - A name that a thread added to the shared memory has no number in the copy, and no other name gets that number
 *     (s5_fake_pool_detach()).
 * Operations on state that the copy lacks fail, and such state never becomes part of another connection. Anonymous
 * shared memory has no owner and is not left. */
#include "leave.h"
#include "bridge.h"
#include "complete.h"
#include "error.h"
#include "in_engine.h"
#include "listener_pool.h"
#include "names.h"
#include "pool.h"
#include "private_copy.h"
#include "process.h"
#include "record.h"
#include "registry.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define THREADS_AT_ONE 16u /* threads that use one negotiation at the same time, at most */

struct leaving {
    struct s5_engine *e;
    uint32_t self;                           /* this process's number */
    uint32_t no_process;                     /* a process number that no process has */
    struct s5_shm *shm;                      /* the shared memory, and later the copy at the same address */
    struct s5_shm *copy;                     /* the copy before it is at SHM; else NULL */
    const struct s5_shm *shared;             /* the shared memory, mapped a second time; NULL: memory is short */
    uint64_t held[S5_SHM_NEGOTIATIONS / 64]; /* negotiations whose lock this thread holds: a bit each */
};

/* Uses system calls: each further function of libc makes the start of every program slower. */
#ifdef SYS_getresuid32 /* 32-bit machines: IDs of 32 bits */
#define GETRESUID SYS_getresuid32
#define GETRESGID SYS_getresgid32
#else
#define GETRESUID SYS_getresuid
#define GETRESGID SYS_getresgid
#endif

static bool has_rights_of(const struct stat *owner)
{
    uid_t users[3];
    gid_t groups[3];
    bool user = false, group = false;
    if (syscall(GETRESUID, &users[0], &users[1], &users[2]) != 0 ||
        syscall(GETRESGID, &groups[0], &groups[1], &groups[2]) != 0)
        return false;
    for (int i = 0; i < 3; i++) {
        user |= users[i] == owner->st_uid;
        group |= groups[i] == owner->st_gid || users[i] == 0;
    }
    return user && group;
}

/* --- the other threads --- */

static void sleep_briefly(void)
{
    struct timespec pause = {0, 1000000};
    nanosleep(&pause, NULL);
}

static bool has_lock_of(const struct leaving *l, size_t i)
{
    return l->held[i / 64] >> i % 64 & 1;
}

static bool is_listed(const struct s5_registry *r, const struct s5_negotiation *f)
{
    for (uint32_t at = 0; at < s5_registry_inflight_top(r); at++) {
        const struct s5_record *record = s5_registry_inflight_at(r, at);
        if (record && atomic_load(&record->negotiation) == f)
            return true;
    }
    return false;
}

/* Returns the next negotiation of this process from index *AT on, and advances *AT; NULL: there are no more. */
static struct s5_negotiation *get_next_own(const struct leaving *l, uint32_t *at)
{
    uint32_t used = atomic_load(&l->shm->negotiations_used);
    while (*at < used && *at < S5_SHM_NEGOTIATIONS) {
        struct s5_negotiation *f = &l->shm->negotiations[(*at)++];
        if (s5_references_of(&f->references, l->self) ||
            (atomic_load(&f->references.by[S5_REFERENCES_PROCESSES]) && is_listed(&l->e->registry, f)))
            return f;
    }
    return NULL;
}

/* Whether a thread has taken a negotiation and not called connect() yet: such a one is written without its lock. */
static bool is_any_beginning(const struct leaving *l)
{
    const struct s5_negotiation *f;
    for (uint32_t at = 0; (f = get_next_own(l, &at));)
        if (atomic_load(&f->phase) == S5_NEGOTIATION_TAKEN && !is_listed(&l->e->registry, f))
            return true;
    return false;
}

/* Waits until no thread is beginning a negotiation, which takes microseconds; at most 50 ms. One that takes longer is
 * an internal connection in connect(), which writes nothing meanwhile. */
static void await_beginning(const struct leaving *l)
{
    if (S5_SINGLE_THREADED)
        return;
    /* The kernel executes a barrier in every other thread, so that taking a negotiation needs none. */
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    for (int i = 0; i < 50 && is_any_beginning(l); i++)
        sleep_briefly();
}

/* A holder in a stopped process is waited for only once: a negotiation that it shares fails in this process anyway. */
static void lock_negotiations(struct leaving *l)
{
    struct s5_negotiation *f;
    bool may_wait = true;
    for (uint32_t at = 0; (f = get_next_own(l, &at));) {
        bool locked = may_wait ? s5_negotiation_lock(l->e, f) : s5_negotiation_try_lock(l->e, f);
        may_wait &= locked;
        if (locked)
            l->held[(at - 1) / 64] |= 1ull << (at - 1) % 64;
    }
}

/* A thread may have returned from connect() meanwhile, and set the phase without the lock: repeats that in the copy. */
static void copy_dialing_phase(const struct leaving *l, size_t i)
{
    uint32_t taken = S5_NEGOTIATION_TAKEN;
    if (l->shared && atomic_load(&l->shared->negotiations[i].phase) == S5_NEGOTIATION_DIALING)
        atomic_compare_exchange_strong(&l->shm->negotiations[i].phase, &taken, S5_NEGOTIATION_DIALING);
}

/* Unlocks in the shared memory, before this process counts as ended there; and in the copy, where it was TAKEN. */
static void unlock_negotiations(const struct leaving *l, bool taken)
{
    for (size_t i = 0; i < S5_SHM_NEGOTIATIONS; i++)
        if (has_lock_of(l, i)) {
            if (taken && l->shared)
                s5_negotiation_unlock((struct s5_negotiation *)(uintptr_t)&l->shared->negotiations[i]);
            if (taken)
                copy_dialing_phase(l, i);
            s5_negotiation_unlock(&l->shm->negotiations[i]);
        }
}

/* --- the copy, before other threads can see it --- */

/* Returns the number of this process's references to the negotiation I of the copy; 0: none. */
static uint32_t count_own_references(const struct leaving *l, size_t i)
{
    uint32_t n = s5_references_of(&l->copy->negotiations[i].references, l->self);
    return n || !has_lock_of(l, i) ? n : 1; /* counted in the overflow place, see references.h */
}

static void keep_negotiation(struct leaving *l, size_t i, uint32_t references)
{
    struct s5_negotiation *f = &l->copy->negotiations[i];
    bool shared = s5_references_are_shared(&f->references);
    uint32_t generation = s5_negotiation_generation(f), more = S5_SINGLE_THREADED ? 0 : THREADS_AT_ONE;
    s5_references_begin_anew(&f->references, generation, l->self, references + more);
    if (!shared)
        return;
    /* The socket is not changed, because the other processes use it. */
    s5_session_abort(&f->session, -ECONNABORTED);
    f->error = -ECONNABORTED;
    atomic_store(&f->phase, S5_NEGOTIATION_FAILED);
    if (!has_lock_of(l, i))
        atomic_store(&f->lock, 0);
}

/* Ends a negotiation in the copy. A socket of it that arrives through an exec or from another process finds it
 * FAILED. */
static void end_negotiation(const struct leaving *l, struct s5_negotiation *f)
{
    s5_session_wipe(&f->session);
    explicit_bzero(&f->identity, sizeof f->identity);
    if (atomic_load(&f->phase) == S5_NEGOTIATION_FREE)
        f->cookie = 0;
    f->error = -ECONNABORTED;
    f->deadline = 0;
    atomic_store(&f->phase, S5_NEGOTIATION_FAILED);
    atomic_store(&f->lock, 0);
    s5_references_begin_anew(&f->references, s5_negotiation_generation(f) + 1, l->no_process, 1);
}

static void filter_negotiations(struct leaving *l)
{
    struct s5_shm *copy = l->copy;
    uint32_t used = atomic_load(&copy->negotiations_used);
    for (uint32_t i = 0; i < used && i < S5_SHM_NEGOTIATIONS; i++) {
        uint32_t references = count_own_references(l, i);
        if (references)
            keep_negotiation(l, i, references);
        else
            end_negotiation(l, &copy->negotiations[i]);
    }
    atomic_store(&copy->negotiations_free, ((atomic_load(&copy->negotiations_free) >> 32) + 1) << 32);
}

/* A listener that others have gets a later generation in the copy, so that this process's record has none
 * (s5_listener_shared()). */
static void filter_listeners(struct leaving *l)
{
    uint32_t used = atomic_load(&l->copy->listeners_used), ended = 0;
    for (uint32_t i = 0; i < used && i < S5_SHM_LISTENERS; i++) {
        struct s5_listener *listener = &l->copy->listeners[i];
        uint32_t generation = s5_listener_generation(listener);
        uint32_t references = s5_references_of(&listener->references, l->self);
        if (references && !s5_references_are_shared(&listener->references))
            continue;
        ended += references != 0;
        s5_session_wipe(&listener->negotiation.session);
        atomic_store(&listener->cookie, 0);
        atomic_store(&listener->lock, 0);
        s5_references_begin_anew(&listener->references, generation + 1, l->no_process, 1);
    }
    if (ended)
        s5_log(&l->e->log, S5_LOG_WARNING, "a listener remains with the processes of another user that share it");
}

/* The bridge belongs to another user: clears its place, so that this process has none. */
static void clear_bridge_place(struct leaving *l)
{
    struct s5_bridge_place *place = &l->copy->bridge;
    atomic_store(&place->ready, 0);
    atomic_store(&place->state, S5_BRIDGE_NONE);
    place->port = 0;
    explicit_bzero(place->user, sizeof place->user);
    explicit_bzero(place->password, sizeof place->password);
}

static void clear_foreign_state(struct leaving *l)
{
    struct s5_shm *copy = l->copy;
    l->no_process = s5_process_number(&copy->processes);
    filter_negotiations(l);
    filter_listeners(l);
    clear_bridge_place(l);
    s5_names_detach(l->e, copy);
    s5_shm_detach(copy);
    for (int i = 0; i < 2; i++) /* the secret for the identities of other processes */
        atomic_store(&copy->isolation[i], 0);
}

/* --- leaving the shared memory --- */

/* Replaces FD by the copy's descriptor COPY; where that is -1, or fails, closes FD. Past the hooks, for which FD is
 * internal. Returns FD, or -1. */
static int replace_shm_fd(const struct s5_calls *real, int copy, int fd)
{
    int flags = real->fcntl(fd, F_GETFD, 0);
    bool renamed = copy >= 0 && real->dup3(copy, fd, flags > 0 && (flags & FD_CLOEXEC) ? O_CLOEXEC : 0) >= 0;
    if (!renamed)
        real->close(fd);
    if (copy >= 0)
        real->close(copy);
    return renamed ? fd : -1;
}

/* A policy file that was written and sealed is kept: no process can write it. One that was not written yet would be
 * read by the other processes. This process replaces it by a file of its own or, where that cannot be made, by a
 * duplicate of the shared memory's descriptor. */
static void detach_policy(const struct leaving *l, int fd)
{
    struct s5_policy_file *written = s5_shm_policy(l->shm, fd, NULL);
    if (written) {
        s5_policy_file_unmap(written);
        return;
    }
    int own = s5_policy_file_create();
    struct stat st;
    l->shm->policy_inode = own >= 0 && fstat(own, &st) == 0 ? st.st_ino : 0;
    atomic_store(&l->shm->policy_state, 0);
    l->e->real->dup3(own < 0 ? fd : own, fd + 1, 0);
    if (own >= 0)
        l->e->real->close(own);
}

/* Keeps the policy. Where the descriptor of the shared memory was not KEPT, closes the policy's, which would not be
 * recognised as internal any more. */
static void keep_policy(const struct leaving *l, int fd, bool kept)
{
    s5_bridge_restore(l->e);
    if (l->e->policy_file)
        l->e->policy_file->server_cache_path[0] = '\0'; /* the file belongs to another user */
    if (kept)
        detach_policy(l, fd);
    else
        l->e->real->close(fd + 1);
}

/* The copy, or EMPTY memory, is mapped: sets its location, and makes FD its descriptor. */
static void set_copy_location(const struct leaving *l, const struct s5_private_copy *copy, int fd, bool empty)
{
    struct s5_shm_location place = l->e->place;
    struct stat st;
    place.fd = replace_shm_fd(l->e->real, copy->fd, fd);
    keep_policy(l, fd, place.fd >= 0);
    place.inode = place.fd >= 0 && fstat(place.fd, &st) == 0 ? st.st_ino : 0;
    if (empty)
        s5_shm_replace(l->shm, &place, place.lost);
    s5_engine_set_shm_location(l->e, &place);
    s5_process_lock_again(place.fd, l->self);
}

/* Releases references of processes that have ended, a daemon's parent for example: they do not share anything any
 * more. */
static void release_ended_processes(const struct leaving *l, int fd)
{
    struct s5_negotiation *f;
    for (uint32_t at = 0; (f = get_next_own(l, &at));)
        s5_references_sweep(&f->references, fd, l->self, false);
    uint32_t used = atomic_load(&l->shm->listeners_used);
    for (uint32_t i = 0; i < used && i < S5_SHM_LISTENERS; i++)
        if (s5_references_of(&l->shm->listeners[i].references, l->self))
            s5_references_sweep(&l->shm->listeners[i].references, fd, l->self, false);
}

static void leave_shared_memory(struct s5_engine *e, struct s5_shm *shm, int fd)
{
    struct s5_private_copy copy;
    struct leaving l = {.e = e, .self = atomic_load(&e->process_number), .shm = shm};
    void *shared = mmap(NULL, sizeof *shm, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    l.shared = shared == MAP_FAILED ? NULL : shared;
    await_beginning(&l);
    lock_negotiations(&l);
    release_ended_processes(&l, fd);
    bool made = s5_private_copy_make(&copy, fd, shm, sizeof *shm);
    l.copy = copy.memory;
    if (made)
        clear_foreign_state(&l);
    l.copy = NULL;
    bool taken = s5_private_copy_take(&copy, shm);
    unlock_negotiations(&l, taken);
    if (l.shared)
        munmap(shared, sizeof *shm);
    if (taken)
        set_copy_location(&l, &copy, fd, !made);
    else
        s5_log(&e->log, S5_LOG_ERROR, "the shared memory of another user's programs remains in use: %s",
               s5_error_text(-ENOMEM));
}

/* Completes the negotiations that have failed, and takes the steps that other threads could not take while the locks
 * were held. */
static void step_all_negotiations(struct s5_engine *e)
{
    for (uint32_t at = 0; at < s5_registry_inflight_top(&e->registry); at++) {
        struct s5_record *record = s5_registry_inflight_at(&e->registry, at);
        if (record)
            s5_complete_step(e, record, 0);
    }
}

/* While another thread loads the policy, it writes to the shared memory. That takes a moment. */
static void await_policy(struct s5_engine *e)
{
    while (!s5_in_engine && atomic_load(&e->policy_state) == S5_ENGINE_LOADING)
        sleep_briefly();
}

static bool is_foreign(struct s5_engine *e)
{
    int fd = atomic_load(&e->shm_fd);
    struct stat owner;
    return atomic_load(&e->shm) && fd >= 0 && fstat(fd, &owner) == 0 && !has_rights_of(&owner);
}

void s5_leave_if_foreign(struct s5_engine *e)
{
    struct s5_in_engine_section section;
    int saved = errno;
    uint32_t none = 0;
    if (s5_engine_owns_memory(e) && is_foreign(e)) {
        await_policy(e);
        s5_in_engine_begin(&section);
        while (!atomic_compare_exchange_strong(&e->leaving, &none, 1)) {
            sleep_briefly();
            none = 0;
        }
        if (is_foreign(e)) /* else another thread was first */
            leave_shared_memory(e, atomic_load(&e->shm), atomic_load(&e->shm_fd));
        atomic_store(&e->leaving, 0);
        s5_in_engine_end(&section);
        step_all_negotiations(e);
    }
    errno = saved;
}

void s5_leave_before(struct s5_engine *e)
{
    if (s5_engine_owns_memory(e))
        atomic_fetch_add(&e->changing, 1);
}

void s5_leave_after(struct s5_engine *e, bool changed)
{
    if (changed)
        s5_leave_if_foreign(e);
    if (s5_engine_owns_memory(e))
        atomic_fetch_sub(&e->changing, 1);
}

void s5_leave_fork_child(struct s5_engine *e)
{
    atomic_store(&e->leaving, 0);
    if (atomic_exchange(&e->changing, 0))
        s5_leave_if_foreign(e);
}

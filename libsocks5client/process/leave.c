/* The memory file belongs to the user that made it. A process is one of that user's as long as any of its user IDs is
 * the file's, and, without root's among them, any of its group IDs is: until then it can have both back, or could
 * write the memory of those processes by other means.
 *
 * The policy, which nobody can write, stays. The copy has what was looked up, so that addresses keep their names. What
 * others negotiate is taken out of it, as it has their passwords. A negotiation that this process shares with others
 * ends here and goes on there: two copies of one state cannot follow the same socket. So it is with a listener that
 * others have; who has ended has nothing. In the shared file this process counts as ended, since its lock there goes
 * with the descriptor (shm/process.h).
 *
 * Other threads go on meanwhile. The copy is made and cleared while it is nobody's, and takes the file's place at one
 * blow. What a thread does to the file in between the copy lacks, so
 *   - none begins a negotiation (flight_pool.c looks at E->leaving), and what is begun is waited for;
 *   - the locks of this process's negotiations are held, and no turn of one is cut in two;
 *   - each of them has references that nobody gives back: a thread may give one back here that it took there;
 *   - the copy has no list of free negotiations, which another process may have been changing. What is nobody's there
 *     is of a later generation, and a process's that has ended: it is taken back when places are short;
 *   - a name that a thread was given a number for there has none here, and none is another's (s5_fake_pool_detach()).
 * What is lost so fails, and nothing of it becomes another connection's. Memory that is no file has no owner, and is
 * not left. */
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

#define THREADS_AT_ONE 16u /* threads that are at one negotiation at a time, at the most */

struct leaving {
    struct s5_engine *e;
    uint32_t self;                           /* this process's number */
    uint32_t nobody;                         /* one that no process has */
    struct s5_shm *shm;                      /* what is left, and then the copy */
    struct s5_shm *copy;                     /* before it is at TREE; else NULL */
    const struct s5_shm *shared;             /* what is left, mapped once more; NULL: memory is short */
    uint64_t held[S5_SHM_NEGOTIATIONS / 64]; /* flights whose lock this thread holds: a bit each */
};

/* By system calls, since each function of libc more costs all programs at their start. */
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

static void pause_shortly(void)
{
    struct timespec pause = {0, 1000000};
    nanosleep(&pause, NULL);
}

static bool holds(const struct leaving *l, size_t i)
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

/* The next one from *AT on that this process has; NULL: there are no more. */
static struct s5_negotiation *next_own(const struct leaving *l, uint32_t *at)
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

/* Whether a thread has taken a flight and not begun to dial: it is written without its lock. */
static bool any_begins(const struct leaving *l)
{
    const struct s5_negotiation *f;
    for (uint32_t at = 0; (f = next_own(l, &at));)
        if (atomic_load(&f->phase) == S5_NEGOTIATION_TAKEN && !is_listed(&l->e->registry, f))
            return true;
    return false;
}

/* That takes microseconds. One that stays so is a hidden connection, in connect(), which writes nothing meanwhile. */
static void await_beginners(const struct leaving *l)
{
    if (S5_SINGLE_THREADED)
        return;
    /* Every other thread has a barrier from the kernel, so that taking a flight needs none. */
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    for (int i = 0; i < 50 && any_begins(l); i++)
        pause_shortly();
}

/* Who holds one in a stopped process is waited for once; what he shares ends here anyway. */
static void lock_negotiations(struct leaving *l)
{
    struct s5_negotiation *f;
    bool patient = true;
    for (uint32_t at = 0; (f = next_own(l, &at));) {
        bool locked = patient ? s5_negotiation_lock(l->e, f) : s5_negotiation_try_lock(l->e, f);
        patient &= locked;
        if (locked)
            l->held[(at - 1) / 64] |= 1ull << (at - 1) % 64;
    }
}

/* A thread that was in connect() has come out of it meanwhile, which needs no lock. */
static void note_dialled(const struct leaving *l, size_t i)
{
    uint32_t taken = S5_NEGOTIATION_TAKEN;
    if (l->shared && atomic_load(&l->shared->negotiations[i].phase) == S5_NEGOTIATION_DIALING)
        atomic_compare_exchange_strong(&l->shm->negotiations[i].phase, &taken, S5_NEGOTIATION_DIALING);
}

/* In what was left, before this process has ended there; and in the copy, where that has taken its place. */
static void unlock_negotiations(const struct leaving *l, bool taken)
{
    for (size_t i = 0; i < S5_SHM_NEGOTIATIONS; i++)
        if (holds(l, i)) {
            if (taken && l->shared)
                s5_negotiation_unlock((struct s5_negotiation *)(uintptr_t)&l->shared->negotiations[i]);
            if (taken)
                note_dialled(l, i);
            s5_negotiation_unlock(&l->shm->negotiations[i]);
        }
}

/* --- the copy, before anybody knows it --- */

/* This process's references to the one that is at index I, in the copy; 0: it has none. */
static uint32_t references_to(const struct leaving *l, size_t i)
{
    uint32_t n = s5_references_of(&l->copy->negotiations[i].references, l->self);
    return n || !holds(l, i) ? n : 1; /* it is of the crowd */
}

static void keep_negotiation(struct leaving *l, size_t i, uint32_t references)
{
    struct s5_negotiation *f = &l->copy->negotiations[i];
    bool shared = s5_references_are_shared(&f->references);
    uint32_t generation = s5_negotiation_generation(f), more = S5_SINGLE_THREADED ? 0 : THREADS_AT_ONE;
    s5_references_begin_anew(&f->references, generation, l->self, references + more);
    if (!shared)
        return;
    /* The socket is left as it is: it is the others' as well. */
    s5_session_abort(&f->session, -ECONNABORTED);
    f->error = -ECONNABORTED;
    atomic_store(&f->phase, S5_NEGOTIATION_FAILED);
    if (!holds(l, i))
        atomic_store(&f->lock, 0);
}

/* A socket of it that comes through an exec, or from another process, finds that it has failed. */
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
    s5_references_begin_anew(&f->references, s5_negotiation_generation(f) + 1, l->nobody, 1);
}

static void sort_negotiations(struct leaving *l)
{
    struct s5_shm *copy = l->copy;
    uint32_t used = atomic_load(&copy->negotiations_used);
    for (uint32_t i = 0; i < used && i < S5_SHM_NEGOTIATIONS; i++) {
        uint32_t references = references_to(l, i);
        if (references)
            keep_negotiation(l, i, references);
        else
            end_negotiation(l, &copy->negotiations[i]);
    }
    atomic_store(&copy->negotiations_free, ((atomic_load(&copy->negotiations_free) >> 32) + 1) << 32);
}

/* One that others have is of a later generation here, so that this process's record has none (s5_listener_shared()). */
static void sort_listeners(struct leaving *l)
{
    uint32_t used = atomic_load(&l->copy->listeners_used), lost = 0;
    for (uint32_t i = 0; i < used && i < S5_SHM_LISTENERS; i++) {
        struct s5_listener *listener = &l->copy->listeners[i];
        uint32_t generation = s5_listener_generation(listener);
        uint32_t references = s5_references_of(&listener->references, l->self);
        if (references && !s5_references_are_shared(&listener->references))
            continue;
        lost += references != 0;
        s5_session_wipe(&listener->negotiation.session);
        atomic_store(&listener->cookie, 0);
        atomic_store(&listener->lock, 0);
        s5_references_begin_anew(&listener->references, generation + 1, l->nobody, 1);
    }
    if (lost)
        s5_log(&l->e->log, S5_LOG_WARNING, "a listener is left to the processes of another user that have it too");
}

/* It is another user's, and by all that is known here there is none. */
static void part_with_bridge(struct leaving *l)
{
    struct s5_bridge_place *place = &l->copy->bridge;
    atomic_store(&place->ready, 0);
    atomic_store(&place->state, S5_BRIDGE_NONE);
    place->port = 0;
    explicit_bzero(place->user, sizeof place->user);
    explicit_bzero(place->password, sizeof place->password);
}

static void clear_what_is_others(struct leaving *l)
{
    struct s5_shm *copy = l->copy;
    l->nobody = s5_process_number(&copy->processes);
    sort_negotiations(l);
    sort_listeners(l);
    part_with_bridge(l);
    s5_names_part(l->e, copy);
    s5_shm_detach(copy);
    for (int i = 0; i < 2; i++) /* a secret that others go under */
        atomic_store(&copy->isolation[i], 0);
}

/* --- leaving --- */

/* COPY's descriptor takes the place of FD, past the hooks, to which FD is hidden; where it has none FD is closed. FD,
 * or -1. */
static int rename_descriptor(const struct s5_calls *real, int copy, int fd)
{
    int flags = real->fcntl(fd, F_GETFD, 0);
    bool renamed = copy >= 0 && real->dup3(copy, fd, flags > 0 && (flags & FD_CLOEXEC) ? O_CLOEXEC : 0) >= 0;
    if (!renamed)
        real->close(fd);
    if (copy >= 0)
        real->close(copy);
    return renamed ? fd : -1;
}

/* The policy that was published stays: nobody can write it. One that was not would be read by the processes that are
 * left: this one has a file of its own for it, or the tree's descriptor in its place. */
static void part_with_policy(const struct leaving *l, int fd)
{
    struct s5_policy_file *published = s5_shm_policy(l->shm, fd, NULL);
    if (published) {
        s5_policy_file_unmap(published);
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

/* Without the tree's descriptor its neighbour would be taken for one of the program's. */
static void keep_policy(const struct leaving *l, int fd, bool kept)
{
    s5_bridge_turn_back(l->e);
    if (l->e->policy_file)
        l->e->policy_file->pipelining_cache_path[0] = '\0'; /* another user's file */
    if (kept)
        part_with_policy(l, fd);
    else
        l->e->real->close(fd + 1);
}

/* The copy, or nothing, is at TREE; FD is its own from now on. */
static void arrive(const struct leaving *l, const struct s5_private_copy *copy, int fd, bool empty)
{
    struct s5_shm_location place = l->e->place;
    struct stat st;
    place.fd = rename_descriptor(l->e->real, copy->fd, fd);
    keep_policy(l, fd, place.fd >= 0);
    place.inode = place.fd >= 0 && fstat(place.fd, &st) == 0 ? st.st_ino : 0;
    if (empty)
        s5_shm_replace(l->shm, &place, place.lost);
    s5_engine_set_shm_location(l->e, &place);
    s5_process_lock_again(place.fd, l->self);
}

/* Who has ended shares nothing with this process any more: a daemon's parent, for one. */
static void forget_the_ended(const struct leaving *l, int fd)
{
    struct s5_negotiation *f;
    for (uint32_t at = 0; (f = next_own(l, &at));)
        s5_references_sweep(&f->references, fd, l->self, false);
    uint32_t used = atomic_load(&l->shm->listeners_used);
    for (uint32_t i = 0; i < used && i < S5_SHM_LISTENERS; i++)
        if (s5_references_of(&l->shm->listeners[i].references, l->self))
            s5_references_sweep(&l->shm->listeners[i].references, fd, l->self, false);
}

static void leave(struct s5_engine *e, struct s5_shm *shm, int fd)
{
    struct s5_private_copy copy;
    struct leaving l = {.e = e, .self = atomic_load(&e->process_number), .shm = shm};
    void *shared = mmap(NULL, sizeof *shm, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    l.shared = shared == MAP_FAILED ? NULL : shared;
    await_beginners(&l);
    lock_negotiations(&l);
    forget_the_ended(&l, fd);
    bool made = s5_private_copy_make(&copy, fd, shm, sizeof *shm);
    l.copy = copy.memory;
    if (made)
        clear_what_is_others(&l);
    l.copy = NULL;
    bool taken = s5_private_copy_take(&copy, shm);
    unlock_negotiations(&l, taken);
    if (l.shared)
        munmap(shared, sizeof *shm);
    if (taken)
        arrive(&l, &copy, fd, !made);
    else
        s5_log(&e->log, S5_LOG_ERROR, "the memory shared with another user's programs is kept: %s",
               s5_error_text(-ENOMEM));
}

/* What failed is settled; who came in vain while the locks were held is not waited for. */
static void step_all(struct s5_engine *e)
{
    for (uint32_t at = 0; at < s5_registry_inflight_top(&e->registry); at++) {
        struct s5_record *record = s5_registry_inflight_at(&e->registry, at);
        if (record)
            s5_complete_step(e, record, 0);
    }
}

/* What the tree's policy is, is being written where another thread reads it: that is over in a moment. */
static void await_policy(struct s5_engine *e)
{
    while (!s5_in_engine && atomic_load(&e->policy_state) == S5_ENGINE_LOADING)
        pause_shortly();
}

static bool is_foreign(struct s5_engine *e)
{
    int fd = atomic_load(&e->shm_fd);
    struct stat owner;
    return atomic_load(&e->shm) && fd >= 0 && fstat(fd, &owner) == 0 && !has_rights_of(&owner);
}

void s5_leave_if_foreign(struct s5_engine *e)
{
    struct s5_in_engine_section quiet;
    int saved = errno;
    uint32_t none = 0;
    if (s5_engine_owns_memory(e) && is_foreign(e)) {
        await_policy(e);
        s5_in_engine_begin(&quiet);
        while (!atomic_compare_exchange_strong(&e->leaving, &none, 1)) {
            pause_shortly();
            none = 0;
        }
        if (is_foreign(e)) /* no other thread was quicker */
            leave(e, atomic_load(&e->shm), atomic_load(&e->shm_fd));
        atomic_store(&e->leaving, 0);
        s5_in_engine_end(&quiet);
        step_all(e);
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

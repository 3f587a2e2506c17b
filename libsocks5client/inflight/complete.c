/* Records and the flights they name: turns, and what a flight comes to. Whoever finds a flight over
 * settles its record: exactly one thread wins the change of state, puts the epoll registrations
 * back and lets the flight go.
 *
 * A failure is kept until the application fetches it, by SO_ERROR, another connect(), or whatever
 * would send or receive. Where
 * the server was not reached at all the kernel itself keeps it; where a negotiation failed, the
 * socket was dissolved and the kernel keeps an ECONNRESET of its own, which makes the socket look
 * as failed as it is (POLLERR) and is taken away with the true error. */
#include "complete.h"
#include "blocking.h"
#include "bridge.h"
#include "cleanup.h"
#include "engine.h"
#include "epoll_mask.h"
#include "error.h"
#include "fd_record.h"
#include "kind.h"
#include "log_events.h"
#include "negotiation_bounds.h"
#include "pool.h"
#include "registry.h"
#include "step.h"
#include <errno.h>
#include <sched.h>
#include <time.h>

static void restore_registration(void *user, int fd, struct s5_slot *slot)
{
    (void)slot;
    s5_epoll_update(user, fd);
}

/* Of one that has one name, beside our hold on it, or of one whose names come and go. */
static inline void restore_all_registrations(struct s5_engine *e, struct s5_record *record)
{
    int fd = atomic_load(&record->fd);
    struct s5_slot *slot = s5_registry_slot(&e->registry, fd);
    if (__builtin_expect(!slot || atomic_load(&slot->record) != record->number || s5_record_refs(record) != 2, 0))
        s5_registry_each(&e->registry, record, restore_registration, e);
    else if (s5_registry_watched(slot))
        s5_epoll_update_slot(e, fd, slot);
}

/* A connection to the bridge says the name it would have, were it one to the server that was meant. */
__attribute__((noinline)) static void name_bridged(struct s5_engine *e, struct s5_record *record)
{
    struct s5_endpoint own = {.len = sizeof own.v6};
    struct s5_record_more *more = s5_registry_more(&e->registry, record);
    const struct s5_shm *shm = atomic_load(&e->shm);
    int saved = errno;
    if (shm && more && !more->local.len && e->real->getsockname(atomic_load(&record->fd), &own.any, &own.len) == 0)
        s5_bridge_local(e, record->server_index, own.any.sa_family, ntohs(own.v4.sin_port), &more->local);
    errno = saved;
}

static bool over(const struct s5_record *record, struct s5_negotiation *f, bool *ret_lost)
{
    *ret_lost =
        s5_negotiation_generation(f) != atomic_load_explicit(&record->negotiation_generation, memory_order_relaxed);
    return *ret_lost || atomic_load(&f->phase) >= S5_NEGOTIATION_READY;
}

/* Another thread is at it and has the outcome in a moment. It may be this one, under a signal's
 * handler: then there is no use in waiting long. */
static __attribute__((noinline, cold)) void await_completion(const struct s5_record *record)
{
    const struct timespec interval = {0, 1000000};
    int saved = errno;
    for (int i = 0; i < 200 && atomic_load(&record->state) == S5_RECORD_IN_FLIGHT && !atomic_load(&record->negotiation);
         i++)
        if (i < 100)
            sched_yield();
        else
            nanosleep(&interval, NULL);
    errno = saved;
}

/* RECORD is a connection of the engine's own. What its kind does takes several steps, between which no handler jumps
 * away; it may wait for a listener's lock, a fifth of a second at most. */
static __attribute__((noinline, cold)) void complete_internal(struct s5_engine *e, struct s5_record *record,
                                                              struct s5_negotiation *f, bool ready, bool lost)
{
    struct s5_critical critical;
    s5_critical_begin(&critical);
    atomic_store(&record->state, S5_RECORD_INTERNAL);
    s5_registry_inflight_remove(&e->registry, record);
    S5_EACH_KIND(kind, complete)
    kind->complete(e, record, f, ready);
    if (!lost)
        s5_negotiation_release(e, f);
    s5_critical_end(&critical);
}

/* What F came to, for RECORD's application. LOST: it was taken for a dead process's. */
static inline __attribute__((always_inline)) void publish(struct s5_engine *e, struct s5_record *record,
                                                          struct s5_negotiation *f, bool lost)
{
    atomic_load(&f->lock); /* turns that other threads took, before another process ended it, are over */
    record->error = lost ? -ETIMEDOUT : s5_negotiation_error(f);
    record->server_index = (uint16_t)s5_negotiation_server(f);
    bool ready = !lost && atomic_load(&f->phase) == S5_NEGOTIATION_READY;
    if (__builtin_expect(s5_record_is_internal(record), 0)) {
        complete_internal(e, record, f, ready, lost);
        return;
    }
    /* What the kernel keeps is logged when it is fetched. */
    if (e->noted && !lost && (ready || f->error))
        s5_log_events_result(e, f, ready);
    if (ready && e->policy->servers[record->server_index].bridged)
        name_bridged(e, record);
    if (!ready) /* its first read or write is told why */
        s5_registry_attend(&e->registry, 1);
    atomic_store(&record->state, ready ? S5_RECORD_READY : S5_RECORD_FAILED);
    /* Out of the list first: from here on events are the application's, and none that the next
     * line brings about may be taken for the negotiation's. */
    s5_registry_inflight_remove(&e->registry, record);
    restore_all_registrations(e, record);
    if (!lost) /* the record's own reference */
        s5_negotiation_release(e, f);
}

/* CALL notes that RECORD is held; NULL: nothing does. */
static void complete_noting(struct s5_engine *e, struct s5_record *record, struct s5_cleanup *call)
{
    bool lost;
    /* Held, it cannot become another connection's: who looked at it before may find that. */
    if (!s5_record_hold(record))
        return;
    if (call)
        call->object = record;
    struct s5_negotiation *f = atomic_load(&record->negotiation);
    bool ours = f && over(record, f, &lost);
    if (ours) {
        s5_registry_count_completed(&e->registry);
        ours = atomic_compare_exchange_strong(&record->negotiation, &f, NULL);
    }
    if (ours)
        publish(e, record, f, lost);
    if (call)
        call->object = NULL;
    if (s5_record_release(record)) /* closed meanwhile */
        s5_fd_dispose_record(e, record);
    else if (!ours && !f)
        await_completion(record);
}

void s5_complete(struct s5_engine *e, struct s5_record *record)
{
    complete_noting(e, record, NULL);
}

/* FD, which stood for RECORD, is not F's socket. Whether it was closed where no hook saw it, and is forgotten:
 * another thread may have closed it and left RECORD another name, or made RECORD another connection's. */
static __attribute__((noinline, cold)) bool is_lost(struct s5_engine *e, struct s5_record *record,
                                                    const struct s5_negotiation *f, int fd)
{
    if (!s5_record_hold(record))
        return true;
    bool lost = atomic_load(&record->negotiation) != f || atomic_load(&record->fd) == fd;
    if (atomic_load(&record->negotiation) == f && lost)
        s5_fd_forget_record(e, record, fd);
    s5_fd_release_record(e, record);
    return lost;
}

/* F is held; RECORD is not, so that the cookie is F's. */
static inline enum s5_step take_step(struct s5_engine *e, struct s5_record *record, struct s5_negotiation *f,
                                     short events, struct s5_cleanup *call)
{
    int fd = atomic_load(&record->fd);
    while (atomic_load(&f->phase) == S5_NEGOTIATION_DIALING && !s5_fd_has_cookie(e, f->cookie, fd)) {
        if (is_lost(e, record, f, fd))
            return S5_STEP_GONE;
        fd = atomic_load(&record->fd);
    }
    enum s5_step result = s5_negotiation_step(e, f, record, -1, events);
    if (result == S5_STEP_DONE)
        complete_noting(e, record, call);
    return result;
}

/* RECORD, which is held, was left while its outcome, F's, was told. What was told already may be told again. */
static __attribute__((noinline, cold)) void complete_again(struct s5_engine *e, struct s5_record *record,
                                                           struct s5_negotiation *f)
{
    if (atomic_load(&record->state) != S5_RECORD_IN_FLIGHT)
        restore_all_registrations(e, record);
    else if (!atomic_load(&record->negotiation))
        publish(e, record, f, false);
    s5_fd_release_record(e, record);
}

/* A signal's handler jumped out of a turn: RUN of its entry. */
static void release_step(void *user, struct s5_cleanup *c, bool forked)
{
    struct s5_engine *e = user;
    struct s5_negotiation *f = c->negotiation;
    if (f && forked && !s5_negotiation_hold(e, f, c->negotiation_generation)) {
        c->negotiation = NULL; /* its end finds that it is another's, and the next look that it is nobody's */
        c->at = S5_CLEANUP_BRIEF_NONE;
    }
    if (!f || forked || s5_negotiation_generation(f) != c->negotiation_generation)
        return;
    s5_negotiation_leave_step(e, f);
    if (c->object)
        complete_again(e, c->object, f);
    s5_negotiation_release(e, f);
}

/* There is a turn below, which this handler interrupts; or one that was left, and nobody looked since. No handler
 * interrupts this one. */
static __attribute__((noinline, cold)) enum s5_step step_in_handler(struct s5_engine *e, struct s5_record *record,
                                                                    short events)
{
    struct s5_critical critical;
    enum s5_step result = S5_STEP_GONE;
    s5_critical_begin(&critical);
    struct s5_negotiation *f = s5_fd_hold_negotiation(e, record);
    if (f) {
        result = take_step(e, record, f, events, NULL);
        s5_negotiation_release(e, f);
    } else
        s5_complete(e, record);
    s5_critical_end(&critical);
    return result;
}

enum s5_step s5_complete_step(struct s5_engine *e, struct s5_record *record, short events)
{
    char here;
    uintptr_t at = (uintptr_t)&here;
    struct s5_cleanup *call = s5_cleanup_begin_brief(release_step, e, at);
    if (__builtin_expect(!call, 0) && s5_cleanup_first())
        call = s5_cleanup_begin_brief(release_step, e, at);
    if (__builtin_expect(!call, 0))
        return step_in_handler(e, record, events);
    struct s5_negotiation *f = s5_fd_hold_negotiation(e, record);
    if (!f) {
        s5_cleanup_end_brief(call, at);
        s5_complete(e, record);
        return S5_STEP_GONE;
    }
    call->negotiation_generation = s5_negotiation_generation(f);
    call->negotiation = f;
    enum s5_step result = take_step(e, record, f, events, call);
    if (s5_cleanup_end_brief(call, at))
        s5_negotiation_release(e, f);
    return result;
}

struct s5_record *s5_complete_find(struct s5_engine *e, int fd)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    if (!record || atomic_load(&record->state) != S5_RECORD_IN_FLIGHT)
        return NULL;
    struct s5_negotiation *f = atomic_load(&record->negotiation);
    if (f && s5_negotiation_generation(f) == record->negotiation_generation &&
        atomic_load(&f->phase) < S5_NEGOTIATION_READY)
        return record;
    s5_complete(e, record);
    return NULL;
}

/* A negotiation that another thread has just begun to dial ends in that thread: the kernel wakes it. */
bool s5_complete_abort(struct s5_engine *e, struct s5_record *record, int fd)
{
    struct s5_negotiation *f = s5_fd_hold_negotiation(e, record);
    if (!f)
        return false;
    bool locked = s5_negotiation_lock(e, f), done = false;
    uint32_t phase = atomic_load(&f->phase);
    if (locked && phase == S5_NEGOTIATION_TAKEN) {
        done = e->real->shutdown(fd, SHUT_RDWR) == 0;
        if (done)
            s5_session_abort(&f->session, -ECONNRESET);
    } else if (locked && phase < S5_NEGOTIATION_READY)
        done = s5_negotiation_fail(e, f, fd, -ECONNRESET) == S5_STEP_DONE;
    if (locked)
        s5_negotiation_unlock(f);
    s5_negotiation_release(e, f);
    if (!done || phase == S5_NEGOTIATION_TAKEN)
        return done;
    s5_complete(e, record);
    s5_fd_forget_record(e, record, fd); /* the kernel has the error, and a new connect() begins afresh */
    return true;
}

/* --- what it came to --- */

void s5_complete_log_unreachable(struct s5_engine *e, uint32_t server_index, int error)
{
    s5_log_events_unreachable(e, server_index);
    s5_log(&e->log, S5_LOG_WARNING, "server \"%s\" cannot be reached: %s",
           s5_policy_text(e->policy, e->policy->servers[server_index].name), s5_error_text(error));
}

int s5_complete_fetch_error(struct s5_engine *e, uint32_t server_index, int fd, int error)
{
    int kernel = 0;
    socklen_t len = sizeof kernel;
    e->real->getsockopt(fd, SOL_SOCKET, SO_ERROR, &kernel, &len);
    if (error == 0) {
        error = kernel ? -kernel : -ECONNABORTED;
        s5_complete_log_unreachable(e, server_index, error);
    }
    return error;
}

static int fetch(struct s5_engine *e, struct s5_record *record, int fd)
{
    uint32_t state = atomic_load(&record->state);
    if (state != S5_RECORD_FAILED) {
        /* Who settles it was interrupted, by us: nobody can tell yet. */
        bool settling = state == S5_RECORD_IN_FLIGHT && !atomic_load(&record->negotiation);
        return settling ? -ECONNABORTED : state != S5_RECORD_READY;
    }
    int error = s5_complete_fetch_error(e, record->server_index, fd, record->error);
    s5_fd_forget_record(e, record, fd);
    return error;
}

int s5_complete_result(struct s5_engine *e, struct s5_record *record, int fd)
{
    if (!s5_record_hold(record))
        return 1;
    int r = fetch(e, record, fd);
    s5_fd_release_record(e, record);
    return r;
}

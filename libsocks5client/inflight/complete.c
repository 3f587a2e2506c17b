/* Records and the negotiations that they name: steps, and the result of a negotiation. A thread that finds a
 * negotiation over completes its record: exactly one thread wins the change of state, restores the epoll registrations
 * and releases the negotiation.
 *
 * A failure is kept until the application fetches it, by SO_ERROR, another connect(), or any call that sends or
 * receives. If the server was not reached at all, the kernel itself keeps it. If a negotiation failed, the socket was
 * disconnected and the kernel keeps an ECONNRESET of its own: it makes the socket report the failure (POLLERR), and is
 * cleared when the true error is fetched. */
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

/* A record with one descriptor, beside the reference that the caller holds, is updated directly. Otherwise the
 * registry finds the descriptors, which other threads may add and close. */
static inline void restore_all_registrations(struct s5_engine *e, struct s5_record *record)
{
    int fd = atomic_load(&record->fd);
    struct s5_slot *slot = s5_registry_slot(&e->registry, fd);
    if (__builtin_expect(!slot || atomic_load(&slot->record) != record->number || s5_record_refs(record) != 2, 0))
        s5_registry_each(&e->registry, record, restore_registration, e);
    else if (s5_registry_watched(slot))
        s5_epoll_update_slot(e, fd, slot);
}

/* A connection to the bridge reports the name that it would have if it were one to the server itself. */
__attribute__((noinline)) static void set_bridged_name(struct s5_engine *e, struct s5_record *record)
{
    struct s5_endpoint own = {.len = sizeof own.v6};
    struct s5_record_more *more = s5_registry_more(&e->registry, record);
    const struct s5_shm *shm = atomic_load(&e->shm);
    int saved = errno;
    if (shm && more && !more->local.len && e->real->getsockname(atomic_load(&record->fd), &own.any, &own.len) == 0)
        s5_bridge_local(e, record->server_index, own.any.sa_family, s5_endpoint_port(&own.any), &more->local);
    errno = saved;
}

static bool is_negotiation_over(const struct s5_record *record, struct s5_negotiation *f, bool *ret_reclaimed)
{
    *ret_reclaimed =
        s5_negotiation_generation(f) != atomic_load_explicit(&record->negotiation_generation, memory_order_relaxed);
    return *ret_reclaimed || atomic_load(&f->phase) >= S5_NEGOTIATION_READY;
}

/* Another thread is completing RECORD and has the result in a moment. It may be this thread, below a signal handler,
 * and then a long wait is of no use. */
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

/* RECORD is an internal connection. What its kind does takes several steps, between which no handler may jump away. It
 * may wait for a listener's lock, a fifth of a second at most. */
static __attribute__((noinline, cold)) void complete_internal(struct s5_engine *e, struct s5_record *record,
                                                              struct s5_negotiation *f, bool ready, bool reclaimed)
{
    struct s5_critical critical;
    s5_critical_begin(&critical);
    atomic_store(&record->state, S5_RECORD_INTERNAL);
    s5_registry_inflight_remove(&e->registry, record);
    S5_EACH_KIND(kind, complete)
    kind->complete(e, record, f, ready);
    if (!reclaimed)
        s5_negotiation_release(e, f);
    s5_critical_end(&critical);
}

/* Completes RECORD with the result of F. RECLAIMED: F was taken from this process, which was considered dead. */
static inline __attribute__((always_inline)) void complete_record(struct s5_engine *e, struct s5_record *record,
                                                                  struct s5_negotiation *f, bool reclaimed)
{
    atomic_load(&f->lock); /* steps of other threads, taken before another process ended it, are over */
    record->error = reclaimed ? -ETIMEDOUT : s5_negotiation_error(f);
    record->server_index = (uint16_t)s5_negotiation_server(f);
    bool ready = !reclaimed && atomic_load(&f->phase) == S5_NEGOTIATION_READY;
    if (__builtin_expect(s5_record_is_internal(record), 0)) {
        complete_internal(e, record, f, ready, reclaimed);
        return;
    }
    /* An error that the kernel keeps is logged when it is fetched. */
    if (e->noted && !reclaimed && (ready || f->error))
        s5_log_events_result(e, f, ready);
    if (ready && e->policy->servers[record->server_index].bridged)
        set_bridged_name(e, record);
    if (!ready) /* the first read or write reports the error */
        s5_registry_attend(&e->registry, 1);
    atomic_store(&record->state, ready ? S5_RECORD_READY : S5_RECORD_FAILED);
    /* Remove it from the list first: from here on events belong to the application, and an event that the next line
     * causes must not be taken for one of the negotiation. */
    s5_registry_inflight_remove(&e->registry, record);
    restore_all_registrations(e, record);
    if (!reclaimed) /* the record's own reference */
        s5_negotiation_release(e, f);
}

/* CALL records that RECORD is held; NULL: nothing does. */
static void hold_and_complete(struct s5_engine *e, struct s5_record *record, struct s5_cleanup *call)
{
    bool reclaimed;
    /* While it is held, it cannot become another connection's. It may have become one since the caller found it. */
    if (!s5_record_hold(record))
        return;
    if (call)
        call->object = record;
    struct s5_negotiation *f = atomic_load(&record->negotiation);
    bool won = f && is_negotiation_over(record, f, &reclaimed);
    if (won) {
        s5_registry_count_completed(&e->registry);
        won = atomic_compare_exchange_strong(&record->negotiation, &f, NULL);
    }
    if (won)
        complete_record(e, record, f, reclaimed);
    if (call)
        call->object = NULL;
    if (s5_record_release(record)) /* closed meanwhile */
        s5_fd_dispose_record(e, record);
    else if (!won && !f)
        await_completion(record);
}

void s5_complete(struct s5_engine *e, struct s5_record *record)
{
    hold_and_complete(e, record, NULL);
}

/* FD, RECORD's descriptor, is not F's socket. True: RECORD cannot be stepped, since its socket was closed where no
 * hook saw it (RECORD is forgotten then), or since RECORD is no longer F's. False: another thread has closed FD, and
 * RECORD has another descriptor. */
static __attribute__((noinline, cold)) bool forget_closed_socket(struct s5_engine *e, struct s5_record *record,
                                                                 const struct s5_negotiation *f, int fd)
{
    if (!s5_record_hold(record))
        return true;
    bool closed = atomic_load(&record->negotiation) != f || atomic_load(&record->fd) == fd;
    if (atomic_load(&record->negotiation) == f && closed)
        s5_fd_forget_record(e, record, fd);
    s5_fd_release_record(e, record);
    return closed;
}

/* F is held. RECORD is not, so the cookie is F's. */
static inline enum s5_step step_held_negotiation(struct s5_engine *e, struct s5_record *record,
                                                 struct s5_negotiation *f, short events, struct s5_cleanup *call)
{
    int fd = atomic_load(&record->fd);
    while (atomic_load(&f->phase) == S5_NEGOTIATION_DIALING && !s5_fd_has_cookie(e, f->cookie, fd)) {
        if (forget_closed_socket(e, record, f, fd))
            return S5_STEP_GONE;
        fd = atomic_load(&record->fd);
    }
    enum s5_step result = s5_negotiation_step(e, f, record, -1, events);
    if (result == S5_STEP_DONE)
        hold_and_complete(e, record, call);
    return result;
}

/* RECORD, which is held, was left while it was completed with the result of F. What was reported already may be
 * reported again. */
static __attribute__((noinline, cold)) void complete_again(struct s5_engine *e, struct s5_record *record,
                                                           struct s5_negotiation *f)
{
    if (atomic_load(&record->state) != S5_RECORD_IN_FLIGHT)
        restore_all_registrations(e, record);
    else if (!atomic_load(&record->negotiation))
        complete_record(e, record, f, false);
    s5_fd_release_record(e, record);
}

/* RUN of the entry of a step: a signal handler jumped out of it. */
static void release_step(void *user, struct s5_cleanup *c, bool forked)
{
    struct s5_engine *e = user;
    struct s5_negotiation *f = c->negotiation;
    if (f && forked && !s5_negotiation_hold(e, f, c->negotiation_generation)) {
        c->negotiation = NULL; /* its end finds the entry changed, and the next look finds it free */
        c->at = S5_CLEANUP_BRIEF_NONE;
    }
    if (!f || forked || s5_negotiation_generation(f) != c->negotiation_generation)
        return;
    s5_negotiation_leave_step(e, f);
    if (c->object)
        complete_again(e, c->object, f);
    s5_negotiation_release(e, f);
}

/* This handler interrupts a step of its thread, or a step was left and not released yet. No handler interrupts the
 * step taken here. */
static __attribute__((noinline, cold)) enum s5_step step_in_handler(struct s5_engine *e, struct s5_record *record,
                                                                    short events)
{
    struct s5_critical critical;
    enum s5_step result = S5_STEP_GONE;
    s5_critical_begin(&critical);
    struct s5_negotiation *f = s5_fd_hold_negotiation(e, record);
    if (f) {
        result = step_held_negotiation(e, record, f, events, NULL);
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
    enum s5_step result = step_held_negotiation(e, record, f, events, call);
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

/* A negotiation that another thread has just begun to connect ends in that thread: the kernel wakes it. */
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
    } else if (locked && phase < S5_NEGOTIATION_READY) {
        s5_negotiation_fail(e, f, fd, -ECONNRESET);
        done = true;
    }
    if (locked)
        s5_negotiation_unlock(f);
    s5_negotiation_release(e, f);
    if (!done || phase == S5_NEGOTIATION_TAKEN)
        return done;
    s5_complete(e, record);
    s5_fd_forget_record(e, record, fd); /* the kernel has the error; a new connect() starts from scratch */
    return true;
}

/* --- the result --- */

void s5_complete_log_unreachable(struct s5_engine *e, uint32_t server_index, int error)
{
    if (e->policy->servers[server_index].n_hops) /* a line has named the hop */
        return;
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
        s5_log_events_unreachable(e, server_index);
        s5_complete_log_unreachable(e, server_index, error);
    }
    return error;
}

static int fetch_record_result(struct s5_engine *e, struct s5_record *record, int fd)
{
    uint32_t state = atomic_load(&record->state);
    if (state != S5_RECORD_FAILED) {
        /* This thread interrupted the completion: the result is not known yet. */
        bool completing = state == S5_RECORD_IN_FLIGHT && !atomic_load(&record->negotiation);
        return completing ? -ECONNABORTED : state != S5_RECORD_READY;
    }
    int error = s5_complete_fetch_error(e, record->server_index, fd, record->error);
    s5_fd_forget_record(e, record, fd);
    return error;
}

int s5_complete_result(struct s5_engine *e, struct s5_record *record, int fd)
{
    if (!s5_record_hold(record))
        return 1;
    int r = fetch_record_result(e, record, fd);
    s5_fd_release_record(e, record);
    return r;
}

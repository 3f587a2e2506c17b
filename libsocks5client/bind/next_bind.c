/* The process that began a BIND may be killed, or execute another program, before the reply arrives. The listener's
 * wakeup descriptor is therefore set to become readable after the time that a negotiation may take, so that another
 * process that has the listener makes a BIND then. A process that asks for the address makes it at once. Of two that
 * are made at the same time, for example by both sides of a fork, the first one counts.
 *
 * The request goes to the server's address that took the last one, with the same contents. If it fails, the listener
 * is in the state after any failed BIND: the wakeup descriptor becomes readable after a while, and accept() tries all
 * addresses. */
#include "next_bind.h"
#include "bind_request.h"
#include "clock.h"
#include "complete.h"
#include "fd_channel.h"
#include "fd_record.h"
#include "inflight.h"
#include "internal_fd.h"
#include "kind.h"
#include "listener.h"
#include "listener_pool.h"
#include "pool.h"
#include "registry.h"
#include "step.h"
#include <errno.h>
#include <time.h>

static struct s5_record *get_record(struct s5_engine *e, uint32_t i)
{
    struct s5_record *records = atomic_load(&e->registry.records);
    bool is_one = records && i < atomic_load(&e->registry.records_used) && i < S5_RECORDS;
    return is_one ? &records[i] : NULL;
}

/* Returns this process's record of L in STATE: its LISTENING one, or the connection of a BIND in flight. */
static struct s5_record *find_record(struct s5_engine *e, const struct s5_listener *l, uint32_t state)
{
    struct s5_record *record;
    for (uint32_t i = 0; (record = get_record(e, i)); i++) {
        const struct s5_record_more *more = atomic_load(&record->more);
        if (more && atomic_load(&record->state) == state && atomic_load(&more->listener) == l &&
            (state != S5_RECORD_IN_FLIGHT || s5_record_is_internal(record)))
            return record;
    }
    return NULL;
}

bool s5_next_bind_pending(struct s5_engine *e, const struct s5_listener *l)
{
    return s5_registry_any_in_flight(&e->registry) && find_record(e, l, S5_RECORD_IN_FLIGHT);
}

void s5_next_bind_step(struct s5_engine *e, const struct s5_listener *l)
{
    struct s5_record *record = s5_registry_any_in_flight(&e->registry) ? find_record(e, l, S5_RECORD_IN_FLIGHT) : NULL;
    if (record)
        s5_complete_step(e, record, 0);
}

void s5_next_bind_drop(struct s5_engine *e, const struct s5_listener *l)
{
    struct s5_record *record;
    while (s5_registry_any_in_flight(&e->registry) && (record = find_record(e, l, S5_RECORD_IN_FLIGHT))) {
        int fd = atomic_load(&record->fd);
        if (fd < 0 || s5_registry_find(&e->registry, fd) != record)
            return; /* another thread is working on it */
        s5_fd_forget_record(e, record, fd);
        e->real->close(fd);
    }
}

/* Others hold the lock for a moment, or for a BIND of their own, which counts then. Waits 200 ms at most. */
static bool lock_listener(struct s5_engine *e, struct s5_listener *l)
{
    enum { TRIES = 200 };
    const struct timespec pause = {0, 1000000};
    for (int i = 0; i < TRIES; i++) {
        if (s5_listener_try_lock(e, l))
            return true;
        if (atomic_load(&l->lock) == s5_lock_token(e)) /* held by a frame that this handler interrupted */
            return false;
        nanosleep(&pause, NULL);
    }
    return false;
}

void s5_next_bind_await(struct s5_engine *e, struct s5_record *record)
{
    struct s5_listener *l = s5_listener_shared(record);
    int saved = errno, r = 0;
    while (l && s5_next_bind_pending(e, l) && r >= 0)
        r = s5_inflight_poll(e, NULL, 0, S5_CLOCK_NEVER);
    uint32_t ticket;
    struct s5_cleanup *call = l && r >= 0 ? s5_listener_begin_call(e, record, &ticket) : NULL;
    if (call && lock_listener(e, l)) {
        if (!l->bound && !l->backoff) /* another process's BIND, which may take long */
            s5_listener_renew(e, record, call, ticket);
        if (s5_cleanup_owns(call, ticket))
            s5_listener_unlock(l);
    }
    if (call)
        s5_listener_end_call(e, record, call, ticket);
    errno = saved;
}

/* --- beginning --- */

/* Puts FD, an internal descriptor, in flight with F. The record takes over the reference to F. */
static int add_in_flight(struct s5_engine *e, int fd, struct s5_negotiation *f, struct s5_listener *l)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    struct s5_record_more *more = record ? s5_registry_more(&e->registry, record) : NULL;
    if (!more)
        return -ENOBUFS;
    record->cookie = f->cookie = s5_fd_cookie(e, fd);
    record->peer.len = 0;
    more->listener = l;
    more->listener_generation = s5_listener_generation(l);
    atomic_store(&record->negotiation_generation, s5_negotiation_generation(f));
    atomic_store(&record->negotiation, f);
    atomic_store(&record->state, S5_RECORD_IN_FLIGHT);
    if (s5_registry_inflight_add(&e->registry, record) == 0)
        return 0;
    atomic_store(&record->negotiation, NULL);
    atomic_store(&record->state, S5_RECORD_INTERNAL);
    return -ENOBUFS;
}

static int begin_next_bind(struct s5_engine *e, struct s5_listener *l)
{
    const struct s5_policy *p = s5_engine_policy(e);
    uint32_t index = l->negotiation.server_index;
    struct s5_negotiation *f = NULL;
    if (!p || index >= p->n_servers || !p->servers[index].n_addrs || l->negotiation.server_key != e->server_keys[index])
        return -EACCES;
    int r = s5_bind_request_socket(e, l), fd = r < 0 ? r : s5_internal_fd_take(e, r);
    if (fd >= 0)
        f = s5_negotiation_take(e);
    if (!f) {
        s5_internal_fd_close(e, fd);
        return fd < 0 ? fd : -ENOBUFS;
    }
    f->server = l->negotiation.server;
    f->peer.len = 0;
    atomic_store(&f->driver, 0);
    r = s5_bind_request_repeat(e, f, &p->servers[index], l);
    if (r == 0)
        r = s5_negotiation_connect(e, f, fd, true, false);
    if (r == 0 || r == -EINPROGRESS || r == -EINTR)
        r = add_in_flight(e, fd, f, l);
    if (r < 0) {
        s5_negotiation_release(e, f);
        s5_internal_fd_close(e, fd);
        return r;
    }
    return 0;
}

void s5_next_bind_begin(struct s5_engine *e, struct s5_record *record)
{
    struct s5_listener *l = s5_listener_shared(record);
    int saved = errno;
    if (!l)
        return;
    s5_next_bind_drop(e, l);
    l->bound = false;
    bool begun = begin_next_bind(e, l) == 0;
    /* The other processes still have the connection that was returned. */
    if (s5_references_are_shared(&l->references))
        s5_listener_set_result(e, record, -EINPROGRESS, NULL);
    else if (begun && record->more->wakeup_fd >= 0)
        s5_fd_channel_wake_in(e, record->more->wakeup_fd, s5_listener_timeout(e, l));
    if (!begun)
        s5_fd_channel_wake(e, record->more->wakeup_fd);
    errno = saved;
}

/* --- the end --- */

static void complete_next_bind(struct s5_engine *e, struct s5_record *record, const struct s5_negotiation *f,
                               bool ready)
{
    struct s5_listener *l = s5_listener_shared(record);
    struct s5_record *listening = l ? find_record(e, l, S5_RECORD_LISTENING) : NULL;
    int fd = atomic_load(&record->fd);
    struct s5_endpoint name;
    record->more->listener = NULL;
    if (!listening || !s5_record_hold(listening)) {
        s5_internal_fd_close(e, fd);
        return;
    }
    if (!lock_listener(e, l)) {
        s5_internal_fd_close(e, fd);
        s5_fd_release_record(e, listening);
        return;
    }
    if (s5_listener_shared(listening) != l) /* it no longer listens */
        s5_internal_fd_close(e, fd);
    else if (l->bound) {
        s5_internal_fd_close(e, fd);
        s5_listener_refresh(e, listening);
    } else {
        int r = s5_bind_request_bound(e, l, f, fd, ready, &name);
        if (r < 0)
            s5_internal_fd_close(e, fd);
        s5_listener_set_result(e, listening, r < 0 ? r : fd, &name);
    }
    s5_listener_unlock(l);
    s5_fd_release_record(e, listening);
}

const struct s5_kind s5_next_bind_kind = {.complete = complete_next_bind};

/* A step does everything that is possible without blocking: it writes what the session has to send, reads at most what
 * the session needs, and checks the clock. It reads only when nothing is left to write. It reads right after a write
 * only if an event has reported input. Otherwise the answer is a round trip away, and its arrival wakes the waiting
 * thread.
 *
 * A probe is a pipelined negotiation with a server whose support for pipelining is unknown. If it meets a wrong
 * answer, a close or silence, the socket is disconnected with connect(AF_UNSPEC) and connected again, and the
 * negotiation is repeated without pipelining. Silence alone proves nothing about the server, since its target may be
 * slow. Pipelining is the cause only if the reply to the second attempt arrives sooner than the probe had waited. */
#include "step.h"
#include "bridge.h"
#include "choice.h"
#include "cleanup.h"
#include "clock.h"
#include "deadline.h"
#include "disconnect.h"
#include "engine.h"
#include "exchange.h"
#include "hops.h"
#include "identity.h"
#include "last_peer.h"
#include "negotiation_bounds.h"
#include "next_server.h"
#include "pipelining.h"
#include "pool.h"
#include "rcvlowat.h"
#include "record.h"
#include "reply.h"
#include "server_cache.h"
#include "timeo.h"
#include "written.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

/* --- a step --- */

static enum s5_step fail_negotiation(struct s5_engine *e, struct s5_negotiation *f, int fd, int error)
{
    s5_negotiation_fail(e, f, fd, error);
    return S5_STEP_DONE;
}

/* If the bridge marked the reply that F failed with, F gets the mark, and the reply becomes the server's. Returns the
 * error of F. */
static int take_mark(struct s5_engine *e, struct s5_negotiation *f, int error)
{
    struct s5_session *s = &f->session;
    struct s5_endpoint at = s5_endpoint_bounded(&f->server);
    uint8_t rep = s->rep;
    enum s5_reply_mark mark = s->have_rep ? s5_reply_unmark(&rep) : S5_REPLY_PLAIN;
    if (!mark || !s5_bridge_answers(e, &e->policy->servers[s5_negotiation_server(f)], &at))
        return error;
    bool replied = error == s5_reply_errno(s->rep);
    f->mark = (uint8_t)mark;
    s->rep = rep;
    if (replied)
        s->error = error = s5_reply_errno(rep);
    return error;
}

/* Fails F with ERROR or, if the program's own octets are the cause, with ECONNABORTED. If the rule has another server,
 * F continues with it. */
static __attribute__((noinline, cold)) enum s5_step fail_after_check(struct s5_engine *e, struct s5_negotiation *f,
                                                                     int fd, int error)
{
    error = take_mark(e, f, error);
    if (s5_next_server_may_help(f) && s5_next_server_try(e, f, fd, &error))
        return S5_STEP_MOVED;
    return fail_negotiation(e, f, fd, s5_written_spoilt(e, f, fd, true) ? -ECONNABORTED : error);
}

/* The connection to the server failed; the kernel has the error. */
static __attribute__((noinline, cold)) enum s5_step fail_unreached(struct s5_engine *e, struct s5_negotiation *f,
                                                                   int fd)
{
    int error = 0;
    if (s5_next_server_may_help(f) && s5_next_server_try(e, f, fd, &error))
        return S5_STEP_MOVED;
    return fail_negotiation(e, f, fd, error);
}

/* Repeats the negotiation on the same socket, without pipelining. The destination is still in the session. */
static enum s5_step retry_unpipelined(struct s5_engine *e, struct s5_negotiation *f, int fd)
{
    if (s5_written_spoilt(e, f, fd, true)) /* the program's octets would be discarded */
        return fail_negotiation(e, f, fd, -ECONNABORTED);
    s5_negotiation_disconnect(e, f, fd);
    f->probing = false;
    f->again = true;
    f->probe_until = S5_CLOCK_NEVER;
    int r = s5_negotiation_restart(e, f);
    if (r == 0)
        r = s5_negotiation_connect_again(e, f, fd);
    if (r < 0)
        return fail_after_check(e, f, fd, r);
    s5_log(&e->log, S5_LOG_DEBUG, "server %s: pipelining failed, retrying step by step",
           s5_negotiation_server_name(e->policy, f));
    return S5_STEP_MOVED;
}

/* How a negotiation ended without success. */
enum s5_end { S5_END_ANSWER, S5_END_CLOSED };

static __attribute__((noinline, cold)) enum s5_step retry_or_fail(struct s5_engine *e, struct s5_negotiation *f, int fd,
                                                                  int error, enum s5_end end)
{
    if (f->probing && atomic_load(&f->phase) == S5_NEGOTIATION_TALKING &&
        s5_pipelining_needs_check(&f->session, error, end == S5_END_CLOSED))
        return retry_unpipelined(e, f, fd);
    return fail_after_check(e, f, fd, error);
}

static enum s5_pipelining_support get_cached_support(struct s5_engine *e, const struct s5_negotiation *f)
{
    return s5_server_cache_pipelining(atomic_load(&e->shm)->server_cache, f->server_key);
}

/* The server, or the hop, that the session was with has connected. */
static inline __attribute__((always_inline)) void learn_from_success(struct s5_engine *e,
                                                                     const struct s5_negotiation *f)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    if (f->session.auth_odd)
        s5_log(&e->log, S5_LOG_DEBUG, "server \"%s\" replies to a password with version 5, not 1 (RFC 1929)",
               s5_negotiation_server_name(e->policy, f));
    if (f->probing && f->session.n_methods == 1)
        s5_server_cache_set_pipelining(shm->server_cache, e->policy_file->server_cache_path, f->server_key,
                                       S5_PIPELINING_SUPPORTED);
    /* If the second attempt took as long as the probe had waited, the target was slow, and pipelining was not the
     * cause. */
    bool slow = f->probe_waited && s5_clock_now() - f->sent >= f->probe_waited;
    if (f->again && !slow && get_cached_support(e, f) != S5_PIPELINING_SUPPORTED)
        s5_server_cache_set_pipelining(shm->server_cache, e->policy_file->server_cache_path, f->server_key,
                                       S5_PIPELINING_UNSUPPORTED);
}

static enum s5_step complete_success(struct s5_engine *e, struct s5_negotiation *f, int fd)
{
    if (__builtin_expect(f->rcvlowat, 0))
        s5_rcvlowat_restore(e, f, fd);
    if (f->pieces > 1 && s5_written_spoilt(e, f, fd, false))
        return fail_negotiation(e, f, fd, -ECONNABORTED);
    learn_from_success(e, f);
    if (__builtin_expect(f->choice.rule, 0))
        s5_choice_succeeded(e, &f->choice);
    if (f->command == S5_CONNECT)
        s5_last_peer_note(atomic_load(&e->shm), s5_negotiation_server(f), &e->pid, &f->session.dst);
    atomic_store_explicit(&f->phase, S5_NEGOTIATION_READY, memory_order_release);
    return S5_STEP_DONE;
}

/* The request was written completely at NOW. */
static void note_request_sent(struct s5_engine *e, struct s5_negotiation *f, int fd, uint64_t now)
{
    atomic_store_explicit(&f->sent, now, memory_order_relaxed);
    if (!f->probing)
        return;
    struct tcp_info info;
    s5_deadline_ask_tcp(e, fd, &info);
    uint64_t round_trip = f->chain.n && f->chain.at ? f->chain.round_trip : 1000ull * info.tcpi_rtt;
    f->probe_until = now + s5_pipelining_timeout(round_trip);
}

static inline struct s5_exchange make_exchange(struct s5_engine *e, struct s5_negotiation *f, int fd)
{
    return (struct s5_exchange){&f->session, NULL, fd, 0, e->real->send, e->real->recv};
}

static inline __attribute__((always_inline)) enum s5_step write_output(struct s5_engine *e, struct s5_negotiation *f,
                                                                       int fd)
{
    const struct s5_exchange exchange = make_exchange(e, f, fd);
    bool all;
    uint64_t now = s5_clock_now(), delay = 0;
    if (__builtin_expect(now - f->begun > S5_CLOCK_SECOND, 0))
        delay = s5_deadline_delay(e, fd);
    ssize_t n;
    if (__builtin_expect(f->chain.n, 0)) {
        bool whole; /* ALL stays in a register */
        n = s5_hops_write(e, f, fd, &whole);
        all = whole;
    } else {
        n = s5_exchange_write(&exchange, &all);
    }
    if (n == -EAGAIN)
        return S5_STEP_WAIT;
    if (__builtin_expect(n < 0, 0)) /* the awaited answer is the answer to what was not written */
        return retry_or_fail(e, f, fd, n == -EPIPE ? -ECONNRESET : (int)n, S5_END_CLOSED);
    atomic_store(&f->phase, S5_NEGOTIATION_TALKING);
    if (delay)
        s5_deadline_forgive(e, f, delay, now);
    f->written += (uint32_t)n;
    f->pieces++;
    if (all)
        note_request_sent(e, f, fd, now);
    return S5_STEP_MOVED;
}

/* The hop that F was at is connected to the next one. MOVED, or DONE: F failed. */
static __attribute__((noinline, cold)) enum s5_step go_to_next_hop(struct s5_engine *e, struct s5_negotiation *f,
                                                                   int fd)
{
    learn_from_success(e, f);
    int r = s5_hops_next(e, f);
    return r < 0 ? fail_after_check(e, f, fd, r) : S5_STEP_MOVED;
}

/* Reads until no octets are left, also after a partial message: the event that reported the octets may have reported a
 * close as well, and an edge is reported only once. After an answer was written, reading continues only if EVENTS
 * report a close or are unknown (0). */
static enum s5_step read_input(struct s5_engine *e, struct s5_negotiation *f, int fd, short events)
{
    const struct s5_exchange exchange = make_exchange(e, f, fd);
    bool ended = events == 0 || (events & (POLLRDHUP | POLLHUP | POLLERR));
    enum s5_step result = S5_STEP_WAIT;
    for (;;) {
        size_t n;
        enum s5_session_state state = s5_session_state(&f->session);
        /* Also true if a step was left after the last octet was read. */
        if (state == S5_SESSION_DONE || state == S5_SESSION_BOUND) {
            if (__builtin_expect(!s5_negotiation_is_on_the_way(f), 1))
                return complete_success(e, f, fd);
            result = go_to_next_hop(e, f, fd);
            if (result != S5_STEP_MOVED)
                return result;
        } else {
            int r =
                s5_exchange_read(&exchange, s5_session_space(&f->session), S5_SESSION_IN_MAX - f->session.in_len, &n);
            if (r == -EAGAIN)
                return result;
            if (__builtin_expect(r < 0, 0))
                return retry_or_fail(e, f, fd, r, n ? S5_END_ANSWER : S5_END_CLOSED);
            result = S5_STEP_MOVED;
        }
        if (!s5_negotiation_has_output(f))
            continue;
        result = write_output(e, f, fd);
        if (result != S5_STEP_MOVED || !ended)
            return result;
    }
}

/* --- from connecting to negotiating --- */

/* Whether connect() has finished: 1 connected, 0 not yet, -1 failed. Does not fetch the kernel's error, which is the
 * application's. */
static int check_connected(struct s5_engine *e, int fd, short events)
{
    uint8_t state; /* the first octet of struct tcp_info */
    socklen_t len = sizeof state;
    if ((events & (POLLOUT | POLLERR | POLLHUP)) == POLLOUT)
        return 1;
    if (e->real->getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &len) != 0 || len != sizeof state)
        return 1; /* a write reports the error */
    if (state == TCP_SYN_SENT || state == TCP_SYN_RECV)
        return 0;
    return state == TCP_CLOSE ? -1 : 1;
}

/* Before the first octet is written: what other connections have found out meanwhile saves a probe. */
static int recheck_pipelining(struct s5_engine *e, struct s5_negotiation *f)
{
    enum s5_pipelining_support support = get_cached_support(e, f);
    if (support == S5_PIPELINING_UNKNOWN)
        return 0;
    f->probing = false;
    if (support == S5_PIPELINING_SUPPORTED)
        return 0;
    return s5_negotiation_restart(e, f);
}

/* An event that reports writability may report input or the end of the stream as well. An edge is reported only once,
 * so input is read as soon as the last octet is written. */
static enum s5_step write_and_read(struct s5_engine *e, struct s5_negotiation *f, int fd, short events)
{
    enum s5_step result = write_output(e, f, fd);
    if (result != S5_STEP_MOVED || !(events & (POLLIN | POLLRDHUP | POLLHUP | POLLERR)))
        return result;
    if (s5_negotiation_has_output(f))
        return result;
    result = read_input(e, f, fd, events);
    return result == S5_STEP_WAIT ? S5_STEP_MOVED : result;
}

static enum s5_step exchange_octets(struct s5_engine *e, struct s5_negotiation *f, int fd, short events)
{
    short seen = events;
    if (atomic_load(&f->phase) == S5_NEGOTIATION_TAKEN) {
        /* Leave the event to the thread in connect(), unless it is past its check: an edge is reported only once. */
        atomic_store(&f->rearm, 1);
        events = 0;
        if (atomic_load(&f->phase) == S5_NEGOTIATION_TAKEN)
            return S5_STEP_WAIT;
    }
    if (atomic_load(&f->phase) == S5_NEGOTIATION_DIALING) {
        int connected = check_connected(e, fd, events);
        if (connected <= 0)
            return connected ? fail_unreached(e, f, fd) : S5_STEP_WAIT;
        int r = f->probing ? recheck_pipelining(e, f) : 0;
        if (r < 0)
            return fail_negotiation(e, f, fd, r);
    }
    return s5_negotiation_has_output(f) ? write_and_read(e, f, fd, seen) : read_input(e, f, fd, seen);
}

static __attribute__((noinline, cold)) enum s5_step fail_timed_out(struct s5_engine *e, struct s5_negotiation *f,
                                                                   int fd, uint64_t now)
{
    if (s5_next_server_may_help(f) && s5_next_server_extend(f, now))
        return S5_STEP_MOVED;
    return fail_after_check(e, f, fd, -ETIMEDOUT);
}

static enum s5_step step_locked(struct s5_engine *e, struct s5_negotiation *f, int fd, short events)
{
    if (atomic_load(&f->phase) >= S5_NEGOTIATION_READY)
        return S5_STEP_DONE;
    if (__builtin_expect(!s5_negotiation_is_whole(f), 0))
        return fail_negotiation(e, f, fd, -ECONNABORTED);
    if (s5_session_state(&f->session) == S5_SESSION_FAILED)
        return fail_negotiation(e, f, fd, s5_session_error(&f->session));
    enum s5_step result = exchange_octets(e, f, fd, events);
    if (result != S5_STEP_WAIT)
        return result;
    uint64_t now = s5_clock_now();
    uint64_t deadline = f->deadline;
    if (now >= deadline || (deadline != S5_CLOCK_NEVER && deadline - now > S5_NEGOTIATION_LONGEST))
        return fail_timed_out(e, f, fd, now);
    if (!f->probing || now < f->probe_until)
        return S5_STEP_WAIT;
    /* Another connection may have shown meanwhile that the server is only slow. */
    f->probing = get_cached_support(e, f) != S5_PIPELINING_SUPPORTED;
    if (!f->probing)
        return S5_STEP_WAIT;
    f->probe_waited = now - f->sent;
    return retry_unpipelined(e, f, fd);
}

/* Returns RECORD's descriptor if RECORD still belongs to F, else -1. */
static inline int get_record_fd(const struct s5_record *record, const struct s5_negotiation *f)
{
    int fd = atomic_load_explicit(&record->fd, memory_order_acquire);
    return atomic_load_explicit(&record->negotiation, memory_order_relaxed) == f ? fd : -1;
}

enum s5_step s5_negotiation_step(struct s5_engine *e, struct s5_negotiation *f, const struct s5_record *record, int fd,
                                 short events)
{
    int saved = errno, cancel = 0;
    if (atomic_load_explicit(&f->phase, memory_order_acquire) >= S5_NEGOTIATION_READY)
        return S5_STEP_DONE;
    if (!s5_negotiation_try_lock(e, f)) {
        /* Leave the event to the thread that holds the lock, unless it is past its check: an edge is reported only
         * once. */
        atomic_store(&f->event_pending, 1);
        if (!s5_negotiation_try_lock(e, f))
            return S5_STEP_BUSY;
    }
    /* send and recv are cancellation points. A thread must not end while it holds the lock. */
    bool threads = !S5_SINGLE_THREADED;
    if (threads)
        cancel = s5_cleanup_hold_cancel();
    enum s5_step result = S5_STEP_WAIT, next;
    do {
        atomic_store(&f->event_pending, 0);
        fd = record ? get_record_fd(record, f) : fd;
        next = fd < 0 ? S5_STEP_GONE : step_locked(e, f, fd, events);
        result = next == S5_STEP_WAIT ? result : next;
        events = 0;
        if (next < S5_STEP_DONE)
            s5_negotiation_update_wait(f);
        s5_negotiation_unlock(f);
    } while (next < S5_STEP_DONE && atomic_load(&f->event_pending) && s5_negotiation_try_lock(e, f));
    if (threads)
        s5_cleanup_allow_cancel(cancel);
    errno = saved;
    return result;
}

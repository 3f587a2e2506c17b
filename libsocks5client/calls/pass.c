/* Sockets passed over a UNIX socket.
 *
 * Sending:
 * - A negotiation in flight is finished first. If the send must not block, it fails with EAGAIN instead.
 * - What the receiver must know is written to shared memory, under the socket's cookie.
 * - An association depends on its control connection, and a listener at a server on its descriptor channel. The
 *   program does not know of these descriptors, so the message cannot carry them: a receiver that is not covered would
 *   get descriptors that it did not ask for. The sender holds a reference to the record, which keeps them open after
 *   the program has closed the socket.
 *
 * Receiving:
 * - Each descriptor's cookie is looked up, first among this process's own records. What is found is imported.
 * - The internal descriptor is copied from the sender by pidfd_getfd(), and its cookie is compared. If the kernel does
 *   not permit that, an association works for as long as its sender's process exists, and a new one is made then; a
 *   listener cannot be taken over.
 *
 * The sender's reference ends when every message was received, or after a minute if one was not, or when 32 others
 * followed it. The sender checks this when it passes, connects or closes a socket. */
#include "pass.h"
#include "clock.h"
#include "complete.h"
#include "fd_notes.h"
#include "fd_record.h"
#include "in_engine.h"
#include "inflight.h"
#include "io.h"
#include "kind.h"
#include "passed.h"
#include "registry.h"
#include "stream.h"
#include "tcp_connect.h"
#include "timeo.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define NEVER_RECEIVED (60 * S5_CLOCK_SECOND)

/* --- descriptors in a control message --- */

/* Returns the next SCM_RIGHTS message in MSG after C (NULL: the first), and its number of descriptors. */
static struct cmsghdr *find_next_rights(struct msghdr *msg, struct cmsghdr *c, size_t *ret_n)
{
    const char *end = (const char *)msg->msg_control + msg->msg_controllen;
    for (c = c ? CMSG_NXTHDR(msg, c) : CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t left = (size_t)(end - (const char *)c), len = c->cmsg_len < left ? c->cmsg_len : left;
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || len < CMSG_LEN(sizeof(int)))
            continue;
        *ret_n = (len - CMSG_LEN(0)) / sizeof(int);
        return c;
    }
    return NULL;
}

static int get_fd(const struct cmsghdr *c, size_t i)
{
    int fd;
    memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
    return fd;
}

/* Calls EACH for every descriptor that MSG carries, until one call returns -errno. */
static int for_each_fd(struct s5_engine *e, const struct msghdr *msg,
                       int (*each)(struct s5_engine *e, int fd, void *user), void *user)
{
    struct msghdr *m = (struct msghdr *)(uintptr_t)msg;
    size_t n;
    int r = 0;
    for (struct cmsghdr *c = find_next_rights(m, NULL, &n); c; c = find_next_rights(m, c, &n))
        for (size_t i = 0; r >= 0 && i < n; i++)
            r = each(e, get_fd(c, i), user);
    return r;
}

/* --- references held for messages --- */

static void release_in_transit(struct s5_engine *e, uint32_t number)
{
    struct s5_record *record = s5_registry_record(&e->registry, number);
    atomic_fetch_sub(&e->registry.in_transit_count, 1);
    atomic_fetch_sub(&record->more->in_transit, 1);
    s5_fd_release_record(e, record);
}

/* Holds RECORD for a message. Places are used in order: the reference that is in the next one, the oldest, is
 * released. */
static void hold_in_transit(struct s5_engine *e, struct s5_record *record)
{
    static _Atomic uint32_t at;
    if (!s5_registry_more(&e->registry, record) || !s5_record_hold(record))
        return;
    atomic_fetch_add(&record->more->in_transit, 1);
    record->more->passed_at = s5_clock_now();
    atomic_fetch_add(&e->registry.in_transit_count, 1);
    uint32_t before =
        atomic_exchange(&e->registry.in_transit[atomic_fetch_add(&at, 1) % S5_IN_TRANSIT], record->number);
    if (before)
        release_in_transit(e, before);
}

static bool is_in_transit(const struct s5_record *record)
{
    const struct s5_record_more *more = atomic_load(&record->more);
    return more && atomic_load(&more->in_transit) != 0;
}

/* Whether the reference to RECORD is no longer needed. */
static bool is_done(struct s5_shm *shm, const struct s5_record *record, uint64_t now)
{
    const struct s5_passed *p = s5_passed_find(shm, record->cookie);
    if (!p)
        return true;
    uint32_t sent = atomic_load(&p->sent), taken = atomic_load(&p->taken), shared = atomic_load(&p->shared);
    if (taken >= sent)
        return true;
    return !shared && now - record->more->passed_at > NEVER_RECEIVED;
}

void s5_pass_tidy_now(struct s5_engine *e)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    uint64_t now = s5_clock_now();
    if (!s5_engine_owns_memory(e))
        return;
    for (unsigned i = 0; shm && i < S5_IN_TRANSIT; i++) {
        uint32_t number = atomic_load(&e->registry.in_transit[i]);
        const struct s5_record *record = s5_registry_record(&e->registry, number);
        if (record && is_done(shm, record, now) &&
            atomic_compare_exchange_strong(&e->registry.in_transit[i], &number, 0))
            release_in_transit(e, number);
    }
}

void s5_pass_fork_child(struct s5_engine *e)
{
    for (unsigned i = 0; i < S5_IN_TRANSIT; i++) {
        uint32_t number = atomic_exchange(&e->registry.in_transit[i], 0);
        if (number)
            release_in_transit(e, number);
    }
}

/* --- sending --- */

struct sending {
    int fd, flags;
    int is_blocking; /* -1: unknown */
};

static bool is_blocking(struct s5_engine *e, struct sending *s)
{
    if (s->is_blocking < 0) {
        int flags = s->flags & MSG_DONTWAIT ? O_NONBLOCK : e->real->fcntl(s->fd, F_GETFL, 0);
        s->is_blocking = flags >= 0 && !(flags & O_NONBLOCK);
    }
    return s->is_blocking;
}

static int finish_negotiation(struct s5_engine *e, int fd, void *user)
{
    struct sending *s = user;
    if (s5_registry_foreign(&e->registry, fd) || !s5_complete_find(e, fd))
        return 0;
    bool wait = is_blocking(e, s);
    return s5_tcp_finish(e, fd, !wait, wait ? s5_inflight_block_until(e, s->fd, S5_SNDTIMEO) : 0);
}

/* Stores what the receiver of RECORD's socket must know in *RET; false: nothing. */
static bool describe_record(struct s5_engine *e, const struct s5_record *record, struct s5_passed *ret)
{
    *ret = (struct s5_passed){.state = atomic_load(&record->state),
                              .error = record->error,
                              .server_index = record->server_index,
                              .peer = record->peer,
                              .internal = -1,
                              .process = atomic_load(&e->process_number),
                              .pid = atomic_load(&e->pid)};
    S5_EACH_KIND(kind, describe)
    if (kind->describe(e, record, ret))
        return true;
    return false;
}

/* Writes the entry of FD, which is about to be passed. */
static int announce_fd(struct s5_engine *e, int fd, void *user)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    struct s5_record *record = s5_fd_record(e, fd);
    struct s5_passed what, *entry;
    uint64_t cookie;
    (void)user;
    if (!shm || (!record && !s5_pass_expects(e)))
        return 0;
    cookie = s5_fd_cookie(e, fd);
    if (record && cookie != record->cookie) { /* closed and reused where no hook saw it */
        s5_fd_forget(e, fd);
        record = NULL;
    }
    if (!record || !describe_record(e, record, &what)) {
        if (cookie)
            s5_passed_erase(shm, cookie);
        return 0;
    }
    s5_passed_write(shm, cookie, &what);
    if ((entry = s5_passed_find(shm, cookie)))
        atomic_fetch_add(&entry->sent, 1);
    if ((what.state == S5_RECORD_RELAYED || what.state == S5_RECORD_LISTENING) && !is_in_transit(record))
        hold_in_transit(e, record);
    return 0;
}

/* The message with FD was not sent: it is not counted any more. */
static int cancel_announcement(struct s5_engine *e, int fd, void *user)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    const struct s5_record *record = s5_registry_find(&e->registry, fd);
    struct s5_passed *entry = shm && record ? s5_passed_find(shm, record->cookie) : NULL;
    (void)user;
    if (entry && atomic_load(&entry->sent))
        atomic_fetch_sub(&entry->sent, 1);
    return 0;
}

/* Prepares MSG, which is about to be sent on FD: 0 or -errno. */
static int prepare_message(struct s5_engine *e, int fd, const struct msghdr *msg, int flags)
{
    struct sending s = {fd, flags, -1};
    int saved = errno, r = 0;
    if (!s5_pass_carries(msg) || s5_in_engine || !s5_engine_owns_memory(e))
        return 0;
    if (s5_registry_any_in_flight(&e->registry))
        r = for_each_fd(e, msg, finish_negotiation, &s);
    if (r >= 0)
        r = for_each_fd(e, msg, announce_fd, NULL);
    s5_pass_tidy(e);
    errno = saved;
    return r;
}

static void cancel_message(struct s5_engine *e, const struct msghdr *msg)
{
    if (!s5_pass_carries(msg) || s5_in_engine || !s5_engine_owns_memory(e))
        return;
    for_each_fd(e, msg, cancel_announcement, NULL);
    s5_pass_tidy(e);
}

ssize_t s5_pass_sendmsg(struct s5_engine *e, int fd, const struct msghdr *msg, int flags)
{
    int r = prepare_message(e, fd, msg, flags);
    ssize_t sent = r < 0 ? r : s5_sendmsg(e, fd, msg, flags);
    if (r >= 0 && sent < 0)
        cancel_message(e, msg);
    return sent;
}

int s5_pass_sendmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
    int r = 0;
    unsigned ready = 0;
    while (msgs && ready < n && (r = prepare_message(e, fd, &msgs[ready].msg_hdr, flags)) >= 0)
        ready++;
    if (r < 0 && ready == 0)
        return r;
    int sent = s5_sendmmsg(e, fd, msgs, msgs ? ready : n, flags);
    for (unsigned i = sent < 0 ? 0 : (unsigned)sent; i < ready; i++)
        cancel_message(e, &msgs[i].msg_hdr);
    return sent;
}

/* --- receiving --- */

/* Returns a copy of the internal descriptor that P names, from the process that has it; -1: not available. */
static int fetch_internal_fd(struct s5_engine *e, const struct s5_passed *p)
{
    int pidfd = p->pid && p->internal >= 0 ? e->real->pidfd_open((pid_t)p->pid, 0) : -1;
    int got = pidfd < 0 ? -1 : e->real->pidfd_getfd(pidfd, p->internal, 0);
    if (pidfd >= 0)
        e->real->close(pidfd);
    if (got >= 0 && s5_fd_cookie(e, got) != p->internal_cookie) {
        e->real->close(got); /* the number or the process ID belongs to another one by now */
        got = -1;
    }
    return got;
}

/* Returns the record of this process with COOKIE, held; NULL: there is none. */
static struct s5_record *hold_known_record(struct s5_engine *e, uint64_t cookie)
{
    struct s5_record *records = atomic_load(&e->registry.records);
    uint32_t used = atomic_load(&e->registry.records_used);
    for (uint32_t i = 0; records && i < used && i < S5_RECORDS; i++) {
        uint32_t state = atomic_load(&records[i].state);
        if (state == S5_RECORD_FREE || state == S5_RECORD_INTERNAL || records[i].cookie != cookie ||
            !s5_record_hold(&records[i]))
            continue;
        if (records[i].cookie == cookie && atomic_load(&records[i].state) != S5_RECORD_FREE)
            return &records[i];
        s5_fd_release_record(e, &records[i]);
    }
    return NULL;
}

/* Makes FD another descriptor of RECORD, whose others may all be closed. */
static void share_record(struct s5_engine *e, struct s5_record *record, int fd, const struct s5_passed *p)
{
    struct s5_slot *slot = s5_registry_slot(&e->registry, atomic_load(&record->fd));
    if (s5_registry_share(&e->registry, fd, record) < 0)
        return;
    if (!slot || (atomic_load(&slot->record) & ~S5_SLOT_NEEDS_CHECK) != record->number)
        atomic_store(&record->fd, fd);
    /* The peer is that of the latest process that connected it. */
    if (p && p->state == S5_RECORD_READY && atomic_load(&record->state) == S5_RECORD_READY && p->peer.len &&
        memcmp(&p->peer, &record->peer, sizeof p->peer) != 0)
        record->peer = p->peer;
}

static void import_passed(struct s5_engine *e, int fd, uint64_t cookie, struct s5_passed *entry,
                          const struct s5_passed *p)
{
    int internal = fetch_internal_fd(e, p);
    enum s5_received r = S5_RECEIVED_NOT;
    S5_EACH_KIND(kind, receive)
    if (r == S5_RECEIVED_NOT)
        r = kind->receive(e, fd, cookie, p, internal);
    if (r == S5_RECEIVED_NOT && internal >= 0)
        e->real->close(internal);
    if (r == S5_RECEIVED_TAKEN)
        atomic_fetch_add(&entry->taken, 1);
    if (r == S5_RECEIVED_SHARED)
        atomic_fetch_add(&entry->shared, 1);
}

/* FD came from another process, or from this one: imports it if it has an entry or is in flight. */
static int receive_fd(struct s5_engine *e, int fd, void *user)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    struct s5_passed what, *entry;
    uint64_t cookie = fd < 0 ? 0 : s5_fd_cookie(e, fd);
    (void)user;
    if (fd >= 0 && !s5_registry_foreign(&e->registry, fd)) { /* of an earlier socket */
        s5_fd_forget(e, fd);
        s5_registry_unwatch_all(&e->registry, fd);
    }
    if (!cookie)
        return 0;
    entry = s5_passed_read(shm, cookie, &what);
    struct s5_record *known = hold_known_record(e, cookie);
    if (known) {
        share_record(e, known, fd, entry ? &what : NULL);
        s5_fd_release_record(e, known);
        if (entry)
            atomic_fetch_add(&entry->taken, 1);
    } else if (entry)
        import_passed(e, fd, cookie, entry, &what);
    else
        s5_stream_join(e, fd, cookie);
    return 0;
}

static void receive_fds(struct s5_engine *e, const struct msghdr *msg)
{
    int saved = errno;
    if (s5_pass_carries(msg) && !s5_in_engine && s5_engine_owns_memory(e))
        for_each_fd(e, msg, receive_fd, NULL);
    errno = saved;
}

ssize_t s5_pass_recvmsg(struct s5_engine *e, int fd, struct msghdr *msg, int flags)
{
    bool known = s5_registry_streams(&e->registry, fd);
    ssize_t n = known ? s5_recvmsg(e, fd, msg, flags) : e->real->recvmsg(fd, msg, flags);
    if (n >= 0 && s5_pass_expects(e) && msg)
        receive_fds(e, msg);
    return n >= 0 || known ? n : -errno;
}

int s5_pass_recvmmsg(struct s5_engine *e, int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
    bool known = s5_registry_streams(&e->registry, fd);
    int got = known ? s5_recvmmsg(e, fd, msgs, n, flags, timeout) : e->real->recvmmsg(fd, msgs, n, flags, timeout);
    for (int i = 0; s5_pass_expects(e) && i < got; i++)
        receive_fds(e, &msgs[i].msg_hdr);
    return got >= 0 || known ? got : -errno;
}

int s5_pass_pidfd_getfd(struct s5_engine *e, int pidfd, int fd, unsigned flags)
{
    int got = e->real->pidfd_getfd(pidfd, fd, flags);
    if (got < 0)
        return -errno;
    int saved = errno;
    if (atomic_load(&e->shm) && !s5_in_engine && s5_engine_owns_memory(e))
        receive_fd(e, got, NULL);
    errno = saved;
    return got;
}

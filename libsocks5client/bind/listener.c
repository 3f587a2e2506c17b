/* A listener at a server, from its first BIND to its end, in one process and in those that inherit it.
 *
 * The application's socket is kept: it listens in the kernel, which drops every packet to it (bind.c). It therefore
 * looks as the program expects (SO_ACCEPTCONN, shutdown, epoll), and no peer reaches it without the server. The BIND
 * is made on an internal connection. What processes share about a listener is an entry in shared memory, which is
 * found by the socket's cookie. Under its lock one process at a time checks for the second reply and makes the next
 * BIND. */
#include "listener.h"
#include "bind.h"
#include "bind_request.h"
#include "blocking.h"
#include "choice.h"
#include "epoll_shadow.h"
#include "fd_channel.h"
#include "fd_notes.h"
#include "fd_record.h"
#include "internal_fd.h"
#include "kind.h"
#include "listener_pool.h"
#include "negotiation_bounds.h"
#include "next_bind.h"
#include "pool.h"
#include "registry.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>

#define BACKOFF_MOST 32 /* seconds */

/* --- the shared entry --- */

struct s5_listener *s5_listener_shared(const struct s5_record *record)
{
    const struct s5_record_more *more = record->more;
    struct s5_listener *l = more ? more->listener : NULL;
    return l && s5_listener_generation(l) == more->listener_generation ? l : NULL;
}

struct s5_record *s5_listener_find(struct s5_engine *e, int fd)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    if (!record || atomic_load(&record->state) != S5_RECORD_LISTENING)
        return NULL;
    if (s5_fd_cookie(e, fd) == record->cookie)
        return record;
    s5_fd_forget_record(e, record, fd); /* closed and reused where no hook saw it */
    return NULL;
}

/* --- the three descriptors --- */

static void replace_descriptors(struct s5_engine *e, struct s5_record *record, uint32_t serial, int control,
                                int wakeup_fd)
{
    int old[2] = {record->more->control, record->more->wakeup_fd};
    for (int i = 0; i < 2; i++) {
        s5_epoll_shadow_remove(e, record, old[i]);
        s5_internal_fd_close(e, old[i]);
    }
    record->more->shadow_process = atomic_load(&e->pid);
    record->more->control = control;
    record->more->wakeup_fd = wakeup_fd;
    record->more->serial = serial; /* last: s5_epoll_shadow_ctl() checks it again */
    s5_epoll_shadow_add(e, record, control);
    s5_epoll_shadow_add(e, record, wakeup_fd);
}

void s5_listener_refresh(struct s5_engine *e, struct s5_record *record)
{
    struct s5_listener *l = s5_listener_shared(record);
    int control, wakeup_fd;
    uint32_t serial;
    if (l && record->more->serial != atomic_load(&l->serial) &&
        s5_fd_channel_get(e, record->more->channel_fd, &serial, &control, &wakeup_fd) == 0)
        replace_descriptors(e, record, serial, control, wakeup_fd);
}

/* RUN of a call's entry: a listener that has not begun is ended, and a BIND in progress is discarded. */
static void release_call(void *user, struct s5_cleanup *c, bool forked)
{
    struct s5_engine *e = user;
    struct s5_record *record = c->object;
    if (forked || !record)
        return;
    struct s5_listener *l = s5_listener_shared(record);
    s5_blocking_release(e, c, false);
    bool begins = !record->more->serial, locked = l && atomic_load(&l->lock) == s5_lock_token(e);
    if (l && (begins || (locked && !l->bound)))
        s5_session_wipe(&l->negotiation.session);
    if (l && begins)
        s5_listener_end(e, record, -ECONNABORTED);
    if (locked)
        s5_listener_unlock(l);
    s5_fd_release_record(e, record);
}

struct s5_cleanup *s5_listener_begin_call(struct s5_engine *e, struct s5_record *record, uint32_t *ret_ticket)
{
    struct s5_critical critical;
    struct s5_cleanup *call = NULL;
    s5_critical_begin(&critical);
    if (s5_record_hold(record)) {
        call = s5_cleanup_push(release_call, e, (uintptr_t)ret_ticket, ret_ticket);
        call->object = record;
    }
    s5_critical_end(&critical);
    return call;
}

void s5_listener_end_call(struct s5_engine *e, struct s5_record *record, struct s5_cleanup *call, uint32_t ticket)
{
    struct s5_critical critical;
    s5_critical_begin(&critical);
    if (s5_cleanup_pop(call, ticket))
        s5_fd_release_record(e, record);
    s5_critical_end(&critical);
}

/* Makes a BIND for L at the servers of its rule, which P has, one after another. As s5_bind_request(). */
static __attribute__((noinline, cold)) int request_from_any(struct s5_engine *e, struct s5_listener *l,
                                                            const struct s5_policy *p, struct s5_cleanup *call,
                                                            uint32_t ticket, struct s5_endpoint *ret)
{
    static const struct s5_addr nobody;
    const struct s5_server *server;
    struct s5_choice choice;
    int r = -EHOSTUNREACH;
    s5_choice_begin(e, &choice, p, l->rule - 1u, &nobody);
    while ((server = s5_choice_next(e, &choice, AF_UNSPEC))) {
        bool down;
        uint64_t until = s5_choice_deadline(e, &choice);
        enum s5_log_level level = choice.left ? S5_LOG_WARNING : S5_LOG_ERROR;
        r = s5_bind_request(e, l, server, until, level, call, ticket, ret, &down);
        if (!s5_cleanup_owns(call, ticket))
            return r;
        s5_choice_note(e, &choice, r, down);
        if (r >= 0)
            return r;
    }
    return r;
}

int s5_listener_renew(struct s5_engine *e, struct s5_record *record, struct s5_cleanup *call, uint32_t ticket)
{
    struct s5_listener *l = s5_listener_shared(record);
    const struct s5_policy *p = s5_engine_policy(e);
    struct s5_endpoint name;
    if (!p)
        return atomic_load(&e->refusal);
    uint32_t index = s5_negotiation_server(&l->negotiation);
    if (index >= p->n_servers || l->negotiation.server_key != e->server_keys[index])
        return -EACCES;
    s5_next_bind_drop(e, l);
    bool down, has_rule = s5_bind_request_has_rule(p, l);
    int control =
        has_rule ? request_from_any(e, l, p, call, ticket, &name)
                 : s5_bind_request(e, l, &p->servers[index], S5_CLOCK_NEVER, S5_LOG_ERROR, call, ticket, &name, &down);
    if (!s5_cleanup_owns(call, ticket))
        return -ECONNABORTED;
    s5_listener_set_result(e, record, control, &name);
    return control < 0 ? control : 0;
}

unsigned s5_listener_timeout(const struct s5_engine *e, const struct s5_listener *l)
{
    const struct s5_policy *p = e->policy;
    uint32_t index = s5_negotiation_server(&l->negotiation);
    unsigned own = p && index < p->n_servers ? p->servers[index].timeout : 0, most = s5_bind_request_limit(e, l);
    return (most && most < own ? most : own) + 1;
}

void s5_listener_set_result(struct s5_engine *e, struct s5_record *record, int control, const struct s5_endpoint *name)
{
    struct s5_listener *l = s5_listener_shared(record);
    struct s5_critical critical;
    int old_wakeup_fd = record->more->wakeup_fd;
    s5_critical_begin(&critical);
    l->bound = control >= 0;
    if (l->bound) {
        l->name = *name;
        l->backoff = 0;
    } else if (control != -EINPROGRESS)
        l->backoff = l->backoff ? (uint16_t)(l->backoff * 2) : 1;
    if (l->backoff > BACKOFF_MOST)
        l->backoff = BACKOFF_MOST;
    int wakeup_fd = s5_fd_channel_wakeup_fd(e, control == -EINPROGRESS ? s5_listener_timeout(e, l) : l->backoff);
    uint32_t serial = atomic_fetch_add(&l->serial, 1) + 1;
    s5_fd_channel_put(e, record->more->channel_fd, serial, control, wakeup_fd);
    s5_fd_channel_wake(e, old_wakeup_fd);
    replace_descriptors(e, record, serial, control < 0 ? -1 : control, wakeup_fd < 0 ? -1 : wakeup_fd);
    s5_critical_end(&critical);
}

/* --- beginning --- */

static void share_duplicates(struct s5_engine *e, int fd)
{
    uint32_t at = 0;
    struct s5_record *record = s5_fd_hold_record(e, fd);
    if (!record)
        return;
    for (int other; (other = s5_registry_next_dup(&e->registry, fd, &at)) >= 0;)
        if (s5_registry_foreign(&e->registry, other) && s5_fd_cookie(e, other) == record->cookie)
            s5_registry_share(&e->registry, other, record);
    s5_fd_release_record(e, record);
}

/* Stores in L the families in which peers can connect to FD's socket. 0 or -errno. */
static int get_families(struct s5_engine *e, int fd, struct s5_listener *l)
{
    struct sockaddr_storage own;
    struct s5_addr addr;
    int v6only = 1;
    socklen_t len = sizeof own, size = sizeof v6only;
    if (e->real->getsockname(fd, (struct sockaddr *)&own, &len) != 0)
        return -errno;
    if (s5_addr_from_sockaddr(&addr, (struct sockaddr *)&own, len) < 0)
        return -EAFNOSUPPORT;
    l->family = own.ss_family;
    if (own.ss_family == AF_INET6)
        e->real->getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &size);
    l->dual = !v6only;
    return 0;
}

/* Returns the record of FD, LISTENING with the entry L; NULL: out of memory. */
static struct s5_record *make_listening_record(struct s5_engine *e, int fd, struct s5_listener *l)
{
    struct s5_record *record = s5_fd_record(e, fd);
    struct s5_record *known = record;
    if (!record)
        record = s5_registry_new(&e->registry);
    if (!record)
        return NULL;
    if (!s5_registry_more(&e->registry, record)) {
        if (!known)
            s5_registry_free(&e->registry, record);
        return NULL;
    }
    if (!known)
        record->more->port = 0;
    record->cookie = s5_fd_cookie(e, fd);
    record->more->listener = l;
    record->more->listener_generation = s5_listener_generation(l);
    record->more->shadow_process = atomic_load(&e->pid);
    record->more->serial = 0;
    record->more->control = record->more->wakeup_fd = record->more->channel_fd = -1;
    atomic_store(&record->state, S5_RECORD_LISTENING);
    s5_registry_listens(&e->registry, 1);
    if (!known && s5_registry_enter(&e->registry, fd, record) < 0) {
        s5_registry_listens(&e->registry, -1);
        return NULL;
    }
    share_duplicates(e, fd);
    return record;
}

/* Makes FD's record, with a new entry, which *RET_CALL holds. There is no BIND yet. 0 or -errno. In a critical
 * section. */
static int prepare_listener(struct s5_engine *e, int fd, int route, const struct s5_server *server,
                            uint32_t *ret_ticket, struct s5_cleanup **ret_call, struct s5_record **ret)
{
    struct s5_listener *l = s5_listener_take(e);
    if (!l)
        return -ENOBUFS;
    int r = get_families(e, fd, l);
    l->backoff = 0;
    l->bound = false;
    l->negotiation.server_index = server->index;
    l->negotiation.server_key = e->server_keys[server->index];
    l->rule = (uint16_t)(route - 1);
    l->generation = s5_policy_file_of(s5_server_policy(server))->generation;
    struct s5_record *record = r < 0 ? NULL : make_listening_record(e, fd, l);
    if (!record) {
        s5_listener_release(e, l, s5_listener_generation(l));
        return r < 0 ? r : -ENOBUFS;
    }
    struct s5_cleanup *call = s5_listener_begin_call(e, record, ret_ticket);
    if (!call) /* closed, with its entry */
        return -EBADF;
    *ret = record;
    *ret_call = call;
    atomic_store(&l->cookie, record->cookie);
    record->more->channel_fd = r = s5_fd_channel_create(e);
    if (r >= 0) {
        l->channel_fd = s5_fd_cookie(e, record->more->channel_fd);
        l->channel_number = record->more->channel_fd;
    }
    return r < 0 ? r : 0;
}

int s5_listener_begin(struct s5_engine *e, int fd, int route, const struct s5_server *server)
{
    struct s5_critical critical;
    struct s5_cleanup *call = NULL;
    struct s5_record *record;
    uint32_t ticket;
    s5_critical_begin(&critical);
    int r = prepare_listener(e, fd, route, server, &ticket, &call, &record);
    s5_critical_end(&critical);
    if (!call)
        return r;
    if (r == 0)
        r = s5_listener_renew(e, record, call, ticket);
    if (r < 0 && s5_cleanup_owns(call, ticket))
        s5_listener_end(e, record, r);
    s5_listener_end_call(e, record, call, ticket);
    return r < 0 ? r : 0;
}

static void end_listener(struct s5_engine *e, struct s5_record *record)
{
    struct s5_listener *l = s5_listener_shared(record);
    int saved = errno;
    if (l)
        s5_next_bind_drop(e, l);
    s5_registry_listens(&e->registry, -1);
    s5_internal_fd_close(e, record->more->control);
    s5_internal_fd_close(e, record->more->wakeup_fd);
    s5_internal_fd_close(e, record->more->channel_fd);
    record->more->control = record->more->wakeup_fd = record->more->channel_fd = -1;
    record->more->listener = NULL;
    if (l)
        s5_listener_release(e, l, record->more->listener_generation);
    errno = saved;
}

void s5_listener_end(struct s5_engine *e, struct s5_record *record, int error)
{
    s5_epoll_shadow_remove(e, record, record->more->control);
    s5_epoll_shadow_remove(e, record, record->more->wakeup_fd);
    /* It must not listen locally either: it remains bound as it was. */
    record->error = error;
    atomic_store(&record->state, S5_RECORD_NAMED);
    end_listener(e, record);
}

/* --- the end --- */

static void count_descriptor(void *user, int fd, struct s5_slot *slot)
{
    unsigned *names = user;
    (void)fd, (void)slot;
    ++*names;
}

/* A descriptor of RECORD is about to be closed. If it is the last one, the epoll instances drop RECORD's internal
 * descriptors. */
static void close_descriptor(struct s5_engine *e, struct s5_record *record)
{
    unsigned names = 0;
    if (atomic_load(&record->state) != S5_RECORD_LISTENING)
        return;
    s5_registry_each(&e->registry, record, count_descriptor, &names);
    if (names > 1)
        return;
    /* An inherited epoll instance belongs to the process that made it: a close in the child changes nothing in it. */
    if (record->more->shadow_process != atomic_load(&e->pid))
        return;
    s5_epoll_shadow_remove(e, record, record->more->control);
    s5_epoll_shadow_remove(e, record, record->more->wakeup_fd);
}

/* --- fork and exec --- */

static struct s5_record *get_record(struct s5_engine *e, uint32_t i)
{
    struct s5_record *records = atomic_load(&e->registry.records);
    if (!records || i >= atomic_load(&e->registry.records_used) || i >= S5_RECORDS)
        return NULL;
    return &records[i];
}

/* Returns the next LISTENING record from place *AT on whose entry exists, and the entry in *RET; NULL: there are no
 * more. */
static struct s5_record *find_next_listening(struct s5_engine *e, uint32_t *at, struct s5_listener **ret)
{
    struct s5_record *record;
    if (!atomic_load(&e->registry.listening))
        return NULL;
    while ((record = get_record(e, (*at)++)))
        if (atomic_load(&record->state) == S5_RECORD_LISTENING && (*ret = s5_listener_shared(record)))
            return record;
    return NULL;
}

static uint32_t fork_listeners(struct s5_engine *e, uint32_t number)
{
    struct s5_record *record;
    struct s5_listener *l;
    uint32_t at = 0, taken = 0;
    while ((record = find_next_listening(e, &at, &l)))
        taken += s5_references_reserve(&l->references, record->more->listener_generation, number);
    return taken;
}

/* A child has its parent's descriptors of one moment and its memory of a later one. It does not have what was begun
 * between the two. */
static uint32_t fork_listeners_child(struct s5_engine *e, uint32_t number)
{
    struct s5_record *record;
    struct s5_listener *l;
    uint32_t at = 0, confirmed = 0, self = atomic_load(&e->process_number);
    while ((record = find_next_listening(e, &at, &l))) {
        uint32_t generation = record->more->listener_generation;
        if (number && s5_references_confirm(&l->references, generation, number, self))
            confirmed++;
        else if (!s5_fd_is_same_socket(e, record, atomic_load(&record->fd)) || !s5_listener_hold(e, l, generation))
            record->more->listener = NULL;
    }
    return confirmed;
}

struct inherits {
    struct s5_engine *e;
    bool any;
};

static void note_inherited(void *user, int fd, struct s5_slot *slot)
{
    struct inherits *i = user;
    int flags = i->e->real->fcntl(fd, F_GETFD, 0);
    (void)slot;
    i->any |= flags >= 0 && !(flags & FD_CLOEXEC);
}

static bool export_listeners(struct s5_engine *e)
{
    struct s5_record *record;
    bool any = false;
    if (!atomic_load(&e->registry.listening))
        return false;
    for (uint32_t i = 0; (record = get_record(e, i)); i++) {
        struct inherits inheritance = {e, false};
        if (atomic_load(&record->state) != S5_RECORD_LISTENING)
            continue;
        s5_registry_each(&e->registry, record, note_inherited, &inheritance);
        e->real->fcntl(record->more->channel_fd, F_SETFD, inheritance.any ? 0 : FD_CLOEXEC);
        any = true; /* a child may duplicate it first, which nothing shows */
    }
    return any;
}

static void cancel_export(struct s5_engine *e)
{
    struct s5_record *record;
    if (!atomic_load(&e->registry.listening))
        return;
    for (uint32_t i = 0; (record = get_record(e, i)); i++)
        if (atomic_load(&record->state) == S5_RECORD_LISTENING)
            e->real->fcntl(record->more->channel_fd, F_SETFD, FD_CLOEXEC);
}

/* FD is L's socket, CHANNEL_FD its descriptor channel. A reference to L has been taken, which is kept or released
 * here. False: failed, and CHANNEL_FD is closed. */
static bool import_listener(struct s5_engine *e, int fd, struct s5_listener *l, uint32_t generation, int channel_fd)
{
    struct s5_record *record = make_listening_record(e, fd, l);
    if (!record) {
        s5_listener_release(e, l, generation);
        e->real->close(channel_fd);
        return false;
    }
    record->more->serial = atomic_load(&l->serial) - 1;
    record->more->channel_fd = s5_internal_fd_take(e, channel_fd);
    s5_listener_refresh(e, record);
    return true;
}

static bool import_after_exec(struct s5_engine *e, int fd, struct s5_listener *l, uint32_t generation)
{
    uint64_t channel_fd = l->channel_fd;
    int channel_number = l->channel_number;
    if (channel_number == fd || !channel_fd || s5_fd_cookie(e, channel_number) != channel_fd)
        return false;
    struct s5_record *known = s5_registry_find(&e->registry, channel_number);
    if (known)
        return false;
    /* This process had another number before the exec, with a reference. */
    if (!s5_references_take_over(&l->references, atomic_load(&e->shm_fd), atomic_load(&e->process_number)) &&
        !s5_listener_hold(e, l, generation))
        return false;
    return import_listener(e, fd, l, generation, channel_number);
}

/* Returns the entry of the socket COOKIE, and its generation; NULL: there is none. */
static struct s5_listener *find_entry(struct s5_engine *e, uint64_t cookie, uint32_t *ret_generation)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    uint32_t used = atomic_load(&shm->listeners_used);
    for (uint32_t i = 0; i < used && i < S5_SHM_LISTENERS; i++) {
        *ret_generation = s5_listener_generation(&shm->listeners[i]);
        if (atomic_load(&shm->listeners[i].cookie) == cookie)
            return &shm->listeners[i];
    }
    return NULL;
}

static bool import_by_cookie(struct s5_engine *e, int fd, uint64_t cookie)
{
    uint32_t generation;
    struct s5_listener *l = find_entry(e, cookie, &generation);
    return l && import_after_exec(e, fd, l, generation);
}

/* --- a message --- */

static bool describe_listener(struct s5_engine *e, const struct s5_record *record, struct s5_passed *ret)
{
    const struct s5_record_more *more = atomic_load(&record->more);
    if (!more || (ret->state != S5_RECORD_NAMED && ret->state != S5_RECORD_LISTENING))
        return false;
    ret->peer.len = 0;
    if (ret->state == S5_RECORD_NAMED)
        ret->port = more->port;
    else
        ret->internal = atomic_load(&more->channel_fd);
    ret->internal_cookie = ret->internal < 0 ? 0 : s5_fd_cookie(e, ret->internal);
    return true;
}

static void receive_named(struct s5_engine *e, int fd, uint64_t cookie, const struct s5_passed *p)
{
    struct s5_record *record = s5_registry_new(&e->registry);
    struct s5_record_more *more = record ? s5_registry_more(&e->registry, record) : NULL;
    if (record && !more)
        s5_registry_free(&e->registry, record);
    if (!more)
        return;
    record->cookie = cookie;
    record->error = p->error;
    more->port = p->port;
    atomic_store(&record->state, S5_RECORD_NAMED);
    s5_registry_enter(&e->registry, fd, record);
}

static bool receive_listening(struct s5_engine *e, int fd, uint64_t cookie, int channel_fd)
{
    uint32_t generation;
    struct s5_listener *l = channel_fd < 0 ? NULL : find_entry(e, cookie, &generation);
    if (l && s5_listener_hold(e, l, generation))
        return import_listener(e, fd, l, generation, channel_fd);
    if (channel_fd >= 0)
        e->real->close(channel_fd);
    return false;
}

static enum s5_received receive_listener(struct s5_engine *e, int fd, uint64_t cookie, const struct s5_passed *p,
                                         int internal)
{
    if (p->state != S5_RECORD_NAMED && p->state != S5_RECORD_LISTENING)
        return S5_RECEIVED_NOT;
    if (p->state == S5_RECORD_LISTENING && receive_listening(e, fd, cookie, internal))
        return S5_RECEIVED_TAKEN;
    if (p->state == S5_RECORD_LISTENING)
        s5_log(&e->log, S5_LOG_ERROR,
               "a listener received from another process accepts no connections: its connection to the server is not "
               "available");
    else
        receive_named(e, fd, cookie, p);
    return S5_RECEIVED;
}

/* --- an internal descriptor whose number the program requests --- */

static void move_internal_fd(struct s5_engine *e, struct s5_record *record, _Atomic int32_t *which, int from)
{
    if (*which != from)
        return;
    int moved = e->real->fcntl(from, F_DUPFD_CLOEXEC, from + 1);
    if (which != &record->more->channel_fd)
        s5_epoll_shadow_remove(e, record, from);
    s5_registry_remove(&e->registry, from);
    *which = moved < 0 ? -1 : s5_internal_fd_take(e, moved);
    if (*which >= 0 && which != &record->more->channel_fd)
        s5_epoll_shadow_add(e, record, *which);
}

static void move_internal_fds(struct s5_engine *e, int fd)
{
    struct s5_record *record;
    for (uint32_t i = 0; (record = get_record(e, i)); i++) {
        if (atomic_load(&record->state) != S5_RECORD_LISTENING)
            continue;
        move_internal_fd(e, record, &record->more->control, fd);
        move_internal_fd(e, record, &record->more->wakeup_fd, fd);
        move_internal_fd(e, record, &record->more->channel_fd, fd);
    }
}

static void end_record(struct s5_engine *e, struct s5_record *record)
{
    if (atomic_load(&record->state) == S5_RECORD_LISTENING)
        end_listener(e, record);
}

const struct s5_kind s5_listener_kind = {
    .getsockname = s5_bind_getsockname,
    .close = close_descriptor,
    .end = end_record,
    .move = move_internal_fds,
    .fork = fork_listeners,
    .fork_child = fork_listeners_child,
    .no_child = s5_listener_fork_cancel,
    .export = export_listeners,
    .export_cancel = cancel_export,
    .import = import_by_cookie,
    .describe = describe_listener,
    .receive = receive_listener,
};

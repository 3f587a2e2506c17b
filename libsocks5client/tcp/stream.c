/* Connections, in flight and established: what a fork, an exec and a message that carries one do with them. */
#include "stream.h"
#include "complete.h"
#include "fd_record.h"
#include "kind.h"
#include "negotiation_bounds.h"
#include "pool.h"
#include "rcvlowat_option.h"
#include "registry.h"
#include "tcp_connect.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* --- a fork --- */

/* The child's records name the same negotiations and need references of their own. They are taken here, since a
 * negotiation may end before the child runs. */
static uint32_t fork_negotiations(struct s5_engine *e, uint32_t number)
{
    uint32_t references = 0;
    for (uint32_t at = 0; at < s5_registry_inflight_top(&e->registry); at++) {
        struct s5_record *record = s5_registry_inflight_at(&e->registry, at);
        struct s5_negotiation *f = record ? atomic_load(&record->negotiation) : NULL;
        if (f)
            references += s5_references_reserve(&f->references, record->negotiation_generation, number);
    }
    return references;
}

static void abort_stream_record(struct s5_engine *e, struct s5_record *record)
{
    record->error = -ECONNABORTED;
    s5_registry_attend(&e->registry, 1); /* as s5_complete() does */
    atomic_store(&record->state, S5_RECORD_FAILED);
}

/* Another thread of the parent began F between the reservation and the fork. The child has the record, and takes a
 * reference if F still exists. The child's descriptors are of an earlier moment than its memory, so the socket is
 * compared first. */
static bool hold_forked_negotiation(struct s5_engine *e, const struct s5_record *record, struct s5_negotiation *f)
{
    if (!s5_fd_is_same_socket(e, record, atomic_load(&record->fd)) ||
        !s5_negotiation_hold(e, f, record->negotiation_generation))
        return false;
    if (f->cookie == record->cookie)
        return true;
    s5_negotiation_release(e, f); /* it belongs to another connection by now */
    return false;
}

/* RECORD was in flight. Returns whether the reference reserved for the child NUMBER is confirmed for it. If RECORD has
 * no negotiation, a thread of the parent was completing it; if it has no descriptor, it was being made or closed. */
static bool inherit_stream_record(struct s5_engine *e, struct s5_record *record, uint32_t number)
{
    struct s5_negotiation *f = atomic_load(&record->negotiation);
    uint32_t self = atomic_load(&e->process_number);
    bool confirmed = f && number && s5_references_confirm(&f->references, record->negotiation_generation, number, self);
    if (!confirmed && !(f && hold_forked_negotiation(e, record, f))) {
        atomic_store(&record->negotiation, NULL);
        if (atomic_load(&record->state) == S5_RECORD_IN_FLIGHT)
            abort_stream_record(e, record);
        s5_registry_inflight_remove(&e->registry, record);
    }
    if (!s5_record_refs(record)) {
        s5_registry_publish(record);
        s5_fd_release_record(e, record);
    }
    return confirmed;
}

static uint32_t fork_negotiations_child(struct s5_engine *e, uint32_t number)
{
    uint32_t confirmed = 0;
    s5_registry_recount(&e->registry);
    uint32_t top = s5_registry_inflight_top(&e->registry); /* removing a record may lower it */
    for (uint32_t at = 0; at < top; at++) {
        struct s5_record *record = s5_registry_inflight_at(&e->registry, at);
        if (record)
            confirmed += inherit_stream_record(e, record, number);
    }
    return confirmed;
}

/* --- before an exec --- */

struct alive {
    struct s5_engine *e;
    struct s5_record *record;
    bool found;
};

static void check_stream_fd(void *user, int fd, struct s5_slot *slot)
{
    struct alive *a = user;
    a->found |= !s5_registry_needs_check(slot) || s5_fd_is_same_socket(a->e, a->record, fd);
}

/* Whether a descriptor of this process still names RECORD. */
static bool is_stream_alive(struct s5_engine *e, struct s5_record *record)
{
    struct alive a = {e, record, false};
    s5_registry_each(&e->registry, record, check_stream_fd, &a);
    return a.found;
}

static bool export_streams(struct s5_engine *e)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    struct s5_record *records = atomic_load(&e->registry.records);
    uint32_t used = atomic_load(&e->registry.records_used);
    bool any = s5_registry_any_in_flight(&e->registry), owns = s5_engine_owns_memory(e);
    for (uint32_t i = 0; shm && records && i < used; i++) {
        if (atomic_load(&records[i].state) != S5_RECORD_READY)
            continue;
        if (owns && !is_stream_alive(e, &records[i])) /* a child of vfork may have duplicates that no hook saw */
            continue;
        const struct s5_record_more *more = atomic_load(&records[i].more);
        s5_shm_export(shm, records[i].cookie, &records[i].peer, more ? &more->local : NULL);
        any = true;
    }
    return any;
}

/* --- after an exec, and from a message --- */

/* Returns the record of another descriptor of the same socket. */
static struct s5_record *find_in_flight_record(struct s5_engine *e, uint64_t cookie)
{
    for (uint32_t at = 0; at < s5_registry_inflight_top(&e->registry); at++) {
        struct s5_record *record = s5_registry_inflight_at(&e->registry, at);
        if (record && record->cookie == cookie)
            return record;
    }
    return NULL;
}

/* Takes over the reference that the program before the exec had. If that program continues, this is its child, and
 * takes a reference of its own. */
static bool take_over_reference(struct s5_engine *e, struct s5_negotiation *f)
{
    return s5_references_take_over(&f->references, atomic_load(&e->shm_fd), atomic_load(&e->process_number)) ||
           s5_negotiation_hold(e, f, s5_negotiation_generation(f));
}

/* F is in flight over FD. The caller has taken a reference to F, which is kept or released here. False: F is not known
 * to this process. */
static bool import_stream_negotiation(struct s5_engine *e, struct s5_negotiation *f, int fd)
{
    struct s5_record *record;
    if (s5_engine_knows(e, s5_negotiation_server(f)))
        return s5_tcp_new_record(e, fd, fd, f, &record) == 0;
    s5_negotiation_release(e, f);
    return false;
}

static struct s5_negotiation *find_stream_negotiation(struct s5_shm *shm, uint64_t cookie)
{
    uint32_t used = atomic_load(&shm->negotiations_used);
    for (uint32_t i = 0; i < used && i < S5_SHM_NEGOTIATIONS; i++) {
        struct s5_negotiation *f = &shm->negotiations[i];
        if (f->cookie == cookie && atomic_load(&f->phase) != S5_NEGOTIATION_FREE)
            return f;
    }
    return NULL;
}

bool s5_stream_join(struct s5_engine *e, int fd, uint64_t cookie)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    struct s5_negotiation *f = shm ? find_stream_negotiation(shm, cookie) : NULL;
    if (!f || !s5_negotiation_hold(e, f, s5_negotiation_generation(f)))
        return false;
    if (f->cookie == cookie) {
        if (!import_stream_negotiation(e, f, fd))
            e->real->shutdown(fd, SHUT_RDWR); /* an unfinished negotiation is no connection */
        return true;
    }
    s5_negotiation_release(e, f); /* it became another connection's meanwhile */
    return false;
}

void s5_stream_import(struct s5_engine *e, int fd, uint64_t cookie, const struct s5_endpoint *peer,
                      const struct s5_endpoint *local)
{
    S5_EACH_KIND(kind, import_connected)
    if (kind->import_connected(e, fd, peer))
        return;
    struct s5_record *record = s5_registry_new(&e->registry);
    if (!record)
        return;
    record->cookie = cookie;
    record->peer = *peer;
    struct s5_record_more *more = local->len ? s5_registry_more(&e->registry, record) : NULL;
    if (more)
        more->local = *local;
    atomic_store(&record->state, S5_RECORD_READY);
    s5_registry_enter(&e->registry, fd, record);
}

static bool import_exported_stream(struct s5_engine *e, int fd, uint64_t cookie)
{
    struct s5_endpoint peer, local;
    if (!s5_shm_exported(atomic_load(&e->shm), cookie, &peer, &local))
        return false;
    s5_stream_import(e, fd, cookie, &peer, &local);
    return true;
}

static bool import_stream(struct s5_engine *e, int fd, uint64_t cookie)
{
    struct s5_negotiation *f = find_stream_negotiation(atomic_load(&e->shm), cookie);
    struct s5_record *record = f ? find_in_flight_record(e, cookie) : NULL;
    if (!f)
        return false;
    if (record ? s5_registry_share(&e->registry, fd, record) < 0
               : !take_over_reference(e, f) || !import_stream_negotiation(e, f, fd))
        e->real->shutdown(fd, SHUT_RDWR); /* an unfinished negotiation is no connection */
    return true;
}

static bool describe_stream(struct s5_engine *e, const struct s5_record *record, struct s5_passed *ret)
{
    const struct s5_record_more *more = atomic_load(&record->more);
    (void)e;
    if (ret->state != S5_RECORD_READY && ret->state != S5_RECORD_FAILED)
        return false;
    if (more)
        ret->local = more->local;
    return true;
}

static void receive_failed_stream(struct s5_engine *e, int fd, uint64_t cookie, const struct s5_passed *p)
{
    struct s5_record *record = s5_engine_knows(e, p->server_index) ? s5_registry_new(&e->registry) : NULL;
    if (!record)
        return;
    record->cookie = cookie;
    record->peer = p->peer;
    record->error = p->error;
    record->server_index = (uint16_t)p->server_index;
    s5_registry_attend(&e->registry, 1);
    atomic_store(&record->state, S5_RECORD_FAILED);
    if (s5_registry_enter(&e->registry, fd, record) < 0)
        s5_registry_attend(&e->registry, -1);
}

static enum s5_received receive_stream(struct s5_engine *e, int fd, uint64_t cookie, const struct s5_passed *p,
                                       int internal)
{
    if (p->state != S5_RECORD_READY && p->state != S5_RECORD_FAILED)
        return S5_RECEIVED_NOT;
    if (internal >= 0)
        e->real->close(internal);
    if (p->state == S5_RECORD_READY)
        s5_stream_import(e, fd, cookie, &p->peer, &p->local);
    else
        receive_failed_stream(e, fd, cookie, p);
    return S5_RECEIVED;
}

/* --- queries of the program --- */

static int get_stream_peer(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct sockaddr_storage kernel;
    socklen_t size = sizeof kernel;
    if (s5_complete_find(e, fd))
        return -ENOTCONN;
    if (atomic_load(&record->state) != S5_RECORD_READY)
        return S5_KERNEL_KNOWS;
    if (e->real->getpeername(fd, (struct sockaddr *)&kernel, &size) != 0)
        return -errno;
    if (s5_fd_forget_stale(e, fd)) /* closed and reused where no hook saw it */
        return S5_KERNEL_KNOWS;
    return s5_endpoint_tell(&record->peer, addr, len);
}

/* A connection through a bridge has the name that it would have without one. */
static int get_stream_name(struct s5_engine *e, struct s5_record *record, int fd, struct sockaddr *addr, socklen_t *len)
{
    struct sockaddr_storage kernel;
    socklen_t size = sizeof kernel;
    const struct s5_record_more *more = atomic_load(&record->more);
    if (atomic_load(&record->state) != S5_RECORD_READY || !more || !more->local.len ||
        e->real->getpeername(fd, (struct sockaddr *)&kernel, &size) != 0 || !s5_fd_is_same_socket(e, record, fd))
        return S5_KERNEL_KNOWS;
    return s5_endpoint_tell(&more->local, addr, len);
}

/* Fetches an option of the same size first: this checks VALUE and LEN before the error is cleared. */
static int fetch_stream_error(struct s5_engine *e, struct s5_record *record, int fd, void *value, socklen_t *len)
{
    if (atomic_load(&record->state) == S5_RECORD_IN_FLIGHT)
        s5_complete_step(e, record, 0);
    if (atomic_load(&record->state) == S5_RECORD_READY)
        return S5_KERNEL_KNOWS;
    if (e->real->getsockopt(fd, SOL_SOCKET, SO_TYPE, value, len) != 0)
        return -errno;
    int r = s5_complete_result(e, record, fd), error = r < 0 ? -r : 0;
    memcpy(value, &error, *len);
    return 0;
}

static int get_stream_option(struct s5_engine *e, struct s5_record *record, int fd, int level, int name, void *value,
                             socklen_t *len)
{
    if (level == SOL_SOCKET && name == SO_ERROR)
        return fetch_stream_error(e, record, fd, value, len);
    if (level == SOL_SOCKET && name == SO_RCVLOWAT && value && len)
        return s5_rcvlowat_get(e, fd, value, len);
    return S5_KERNEL_KNOWS;
}

/* --- a descriptor number that the program requests --- */

/* Moves the connection of a BIND in flight to another number. */
static void move_internal_stream(struct s5_engine *e, int from)
{
    struct s5_record *record = s5_registry_find(&e->registry, from);
    if (!record || atomic_load(&record->state) != S5_RECORD_IN_FLIGHT)
        return;
    int moved = e->real->fcntl(from, F_DUPFD_CLOEXEC, from + 1);
    if (moved >= 0 && s5_registry_share(&e->registry, moved, record) < 0)
        e->real->close(moved);
    s5_fd_forget(e, from);
}

/* This kind is the first in s5_kinds: there may be thousands of such sockets, and each takes only one look-up. */
const struct s5_kind s5_exported_kind = {.import = import_exported_stream};

const struct s5_kind s5_stream_kind = {
    .getpeername = get_stream_peer,
    .getsockname = get_stream_name,
    .getsockopt = get_stream_option,
    .move = move_internal_stream,
    .fork = fork_negotiations,
    .fork_child = fork_negotiations_child,
    .no_child = s5_negotiation_fork_cancel,
    .export = export_streams,
    .import = import_stream,
    .describe = describe_stream,
    .receive = receive_stream,
};

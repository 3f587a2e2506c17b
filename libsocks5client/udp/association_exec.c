/* Associations across an exec, and in messages that carry descriptors.
 *
 * What the next program must know is written to the shared state. The control connection loses FD_CLOEXEC for the
 * duration of the exec. The next program imports the associations of the sockets that it inherited, and closes the
 * control connections of all others. */
#include "association_exec.h"
#include "association.h"
#include "association_pool.h"
#include "fd_record.h"
#include "internal_fd.h"
#include "kind.h"
#include "negotiation_bounds.h"
#include "registry.h"
#include <fcntl.h>
#include <string.h>

static void fill_exported(const struct s5_association *a, struct s5_exported_association *h)
{
    h->control = atomic_load(&a->control);
    h->control_cookie = a->control_cookie;
    h->server_index = a->server_index;
    h->family = a->family;
    h->mixed = a->mixed;
    h->relay = s5_association_relay(a);
    h->local = a->local;
    h->peer = a->peer;
}

static void write_exported(struct s5_shm *shm, const struct s5_association *a, uint64_t cookie)
{
    uint32_t at = atomic_fetch_add(&shm->relayed_at, 1) % S5_SHM_RELAYED;
    struct s5_exported_association *h = &shm->relayed[at];
    atomic_store(&h->cookie, 0);
    fill_exported(a, h);
    atomic_store_explicit(&h->cookie, cookie, memory_order_release);
}

static bool export_association(struct s5_engine *e, const struct s5_record *record)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    struct s5_association *pool = atomic_load(&e->associations);
    if (!shm || !pool || !record->relayed)
        return false;
    struct s5_association *a = &pool[record->relayed - 1];
    int control = atomic_load(&a->control);
    write_exported(shm, a, record->cookie);
    if (control >= 0)
        e->real->fcntl(control, F_SETFD, 0);
    return true;
}

static bool export_associations(struct s5_engine *e)
{
    struct s5_record *records = atomic_load(&e->registry.records);
    uint32_t used = atomic_load(&e->registry.records_used);
    bool any = false;
    for (uint32_t i = 0; records && i < used; i++)
        if (atomic_load(&records[i].state) == S5_RECORD_RELAYED)
            any |= export_association(e, &records[i]);
    return any;
}

static void cancel_export(struct s5_engine *e)
{
    for (uint32_t at = 0; at < S5_ASSOCIATIONS; at++) {
        int control = s5_association_control(e, &at);
        if (control >= 0)
            e->real->fcntl(control, F_SETFD, FD_CLOEXEC);
    }
}

/* Whether the control connection that H describes is open here, under its number. */
static bool has_control(struct s5_engine *e, const struct s5_exported_association *h)
{
    return h->control >= 0 && s5_fd_cookie(e, h->control) == h->control_cookie;
}

static struct s5_association *import_association(struct s5_engine *e, const struct s5_exported_association *h, int fd,
                                                 uint64_t cookie)
{
    uint32_t number, index = h->server_index;
    uint16_t family = h->family;
    struct s5_association *a = NULL;
    if ((family == AF_INET || family == AF_INET6) && s5_engine_knows(e, index))
        a = s5_association_take(e, cookie, &number);
    struct s5_record *record = a ? s5_registry_new(&e->registry) : NULL;
    if (!record) {
        if (a)
            s5_association_end(e, number);
        return NULL;
    }
    a->server_index = index;
    a->family = family;
    a->mixed = h->mixed;
    struct s5_endpoint relay = s5_endpoint_bounded(&h->relay);
    s5_latch_write(&a->relay, &relay, sizeof relay);
    a->local = s5_endpoint_bounded(&h->local);
    a->peer = s5_endpoint_bounded(&h->peer);
    a->control_cookie = h->control_cookie;
    if (s5_association_enter(e, fd, record, a) == 0)
        return a;
    s5_association_end(e, number);
    return NULL;
}

static void import_with_control(struct s5_engine *e, const struct s5_exported_association *h, int fd, uint64_t cookie)
{
    struct s5_association *a = import_association(e, h, fd, cookie);
    if (!a || !has_control(e, h))
        return;
    e->real->fcntl(h->control, F_SETFD, FD_CLOEXEC);
    atomic_store(&a->control, s5_internal_fd_keep(e, h->control));
}

/* The record with COOKIE: another descriptor of the same socket was imported before. NULL: none. */
static struct s5_record *find_imported_record(struct s5_engine *e, uint64_t cookie)
{
    struct s5_record *records = atomic_load(&e->registry.records);
    uint32_t used = atomic_load(&e->registry.records_used);
    for (uint32_t i = 0; records && i < used; i++)
        if (atomic_load(&records[i].state) == S5_RECORD_RELAYED && records[i].cookie == cookie)
            return &records[i];
    return NULL;
}

static bool import_descriptor(struct s5_engine *e, int fd, uint64_t cookie)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    struct s5_record *record = find_imported_record(e, cookie);
    if (record)
        return s5_registry_share(&e->registry, fd, record) == 0;
    uint32_t at = atomic_load(&shm->relayed_at);
    for (uint32_t i = 1; i <= S5_SHM_RELAYED; i++) { /* the latest first */
        struct s5_exported_association *h = &shm->relayed[(at - i) % S5_SHM_RELAYED];
        if (atomic_load_explicit(&h->cookie, memory_order_acquire) != cookie)
            continue;
        import_with_control(e, h, fd, cookie);
        return true;
    }
    return false;
}

static void finish_import(struct s5_engine *e)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    for (uint32_t i = 0; i < S5_SHM_RELAYED; i++) {
        struct s5_exported_association *h = &shm->relayed[i];
        if (atomic_load_explicit(&h->cookie, memory_order_acquire) && h->control > 2 &&
            !s5_internal_fd_is(e, h->control) && has_control(e, h))
            e->real->close(h->control);
    }
}

/* --- messages with descriptors --- */

static bool describe_association(struct s5_engine *e, const struct s5_record *record, struct s5_passed *ret)
{
    const struct s5_association *pool = atomic_load(&e->associations), *a;
    struct s5_exported_association h;
    if (ret->state != S5_RECORD_RELAYED || !pool || !record->relayed)
        return false;
    a = &pool[record->relayed - 1];
    fill_exported(a, &h);
    ret->server_index = h.server_index;
    ret->family = h.family;
    ret->mixed = h.mixed;
    ret->peer = h.peer;
    ret->local = h.local;
    ret->relay = h.relay;
    ret->internal = h.control;
    ret->internal_cookie = h.control_cookie;
    if (h.control < 0 && atomic_load(&a->owner)) { /* it was received in a message itself */
        ret->process = atomic_load(&a->owner);
        ret->pid = 0;
    }
    return true;
}

/* Without a copy of the control connection (CONTROL -1) the association lives as long as the process that has it. */
static enum s5_received receive_association(struct s5_engine *e, int fd, uint64_t cookie, const struct s5_passed *p,
                                            int control)
{
    struct s5_exported_association h = {.control = -1,
                                        .control_cookie = p->internal_cookie,
                                        .server_index = p->server_index,
                                        .family = p->family,
                                        .mixed = p->mixed,
                                        .relay = p->relay,
                                        .local = p->local,
                                        .peer = p->peer};
    if (p->state != S5_RECORD_RELAYED)
        return S5_RECEIVED_NOT;
    struct s5_association *a = p->relay.len ? import_association(e, &h, fd, cookie) : NULL;
    if (!a && control >= 0)
        e->real->close(control);
    if (!a)
        return S5_RECEIVED;
    int internal = control < 0 ? -1 : s5_internal_fd_take(e, control);
    atomic_store(&a->owner, internal < 0 ? p->process : 0);
    atomic_store(&a->control, internal < 0 ? -1 : internal);
    return control < 0 ? S5_RECEIVED_SHARED : S5_RECEIVED_TAKEN;
}

const struct s5_kind s5_association_exec_kind = {
    .export = export_associations,
    .export_cancel = cancel_export,
    .import = import_descriptor,
    .imported = finish_import,
    .describe = describe_association,
    .receive = receive_association,
};

/* The associations of a process: which are in use, and which threads request one from a server. */
#include "association_pool.h"
#include "association.h"
#include "association_query.h"
#include "blocking.h"
#include "fd_record.h"
#include "internal_fd.h"
#include "kind.h"
#include "lazy_map.h"
#include "registry.h"
#include "result.h"
#include "target.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* --- the pool --- */

static struct s5_association *map_association_pool(struct s5_engine *e)
{
    return s5_lazy_map((void *_Atomic *)&e->associations, S5_ASSOCIATIONS * sizeof(struct s5_association));
}

static void clear_association(struct s5_association *a)
{
    atomic_store(&a->busy, 0);
    atomic_store(&a->control, -1);
    atomic_store(&a->owner, 0);
    atomic_store(&a->cache_busy, 0);
    atomic_store(&a->looked, 0);
    atomic_store(&a->again, 0);
    atomic_store(&a->expect, S5_UDP_HEADER_IPV4);
    a->mixed = a->corked = false;
    a->policy_generation = 0;
    a->server_key = 0;
    a->next_alias = 0;
    a->local.len = a->peer.len = 0;
    s5_latch_write(&a->relay, &a->local.len, sizeof a->local.len); /* no endpoint */
    s5_target_forget(a);
}

struct s5_association *s5_association_take(struct s5_engine *e, uint64_t cookie, uint32_t *ret)
{
    struct s5_association *pool = map_association_pool(e);
    for (uint32_t at = 0; pool && at < S5_ASSOCIATIONS; at++) {
        uint32_t unused = 0;
        if (!atomic_compare_exchange_strong(&pool[at].used, &unused, 1))
            continue;
        uint32_t top = atomic_load(&e->associations_top);
        while (top <= at && !atomic_compare_exchange_weak(&e->associations_top, &top, at + 1))
            ;
        atomic_fetch_add(&pool[at].generation, 1);
        clear_association(&pool[at]);
        pool[at].cookie = cookie;
        atomic_store(&pool[at].opening, true);
        *ret = at;
        return &pool[at];
    }
    return NULL;
}

void s5_association_free(struct s5_engine *e, struct s5_association *a)
{
    int control = atomic_exchange(&a->control, -1);
    atomic_fetch_add(&a->generation, 1);
    atomic_store(&a->busy, 0);
    if (control >= 0)
        s5_internal_fd_close(e, control);
    atomic_store(&a->used, 0);
}

void s5_association_end(struct s5_engine *e, uint32_t number)
{
    struct s5_association *pool = atomic_load(&e->associations);
    if (pool && number < S5_ASSOCIATIONS)
        s5_association_free(e, &pool[number]);
}

int s5_association_control(const struct s5_engine *e, uint32_t *at)
{
    struct s5_association *pool = atomic_load(&e->associations);
    if (!pool || *at >= atomic_load(&e->associations_top)) {
        *at = S5_ASSOCIATIONS;
        return -1;
    }
    return atomic_load(&pool[*at].used) ? atomic_load(&pool[*at].control) : -1;
}

/* Moves the control connection FROM to another number: the program uses that number itself. */
static void move_control(struct s5_engine *e, int from)
{
    for (uint32_t at = 0; at < S5_ASSOCIATIONS; at++) {
        if (s5_association_control(e, &at) != from)
            continue;
        int moved = e->real->fcntl(from, F_DUPFD_CLOEXEC, from + 1);
        s5_registry_remove(&e->registry, from);
        moved = moved < 0 ? -1 : s5_internal_fd_keep(e, moved);
        atomic_store(&atomic_load(&e->associations)[at].control, moved);
        return;
    }
}

static void end_association_record(struct s5_engine *e, struct s5_record *record)
{
    if (record->relayed)
        s5_association_end(e, record->relayed - 1);
}

/* --- requests to a server --- */

/* Ends the request for A. Without a record A is released; with a record it is no longer busy. */
static void end_request(struct s5_engine *e, struct s5_association *a)
{
    if (atomic_load(&a->opening))
        s5_association_free(e, a);
    else
        atomic_store(&a->busy, 0);
}

void s5_association_abandon(struct s5_engine *e, struct s5_association *a, uint32_t generation)
{
    struct s5_critical critical;
    if (!s5_lock_take(&e->associations_lock, &critical))
        return;
    if (atomic_load(&a->generation) == generation)
        end_request(e, a);
    s5_lock_give(&e->associations_lock, &critical);
}

static uint32_t end_lost_requests(struct s5_engine *e, uint32_t number)
{
    struct s5_association *pool = atomic_load(&e->associations);
    uint64_t own = s5_thread_token();
    for (uint32_t at = 0; pool && at < atomic_load(&e->associations_top); at++) {
        uint64_t busy = atomic_load(&pool[at].busy);
        s5_target_fork_child(&pool[at]);
        if (!atomic_load(&pool[at].used) || !s5_thread_is_left_behind(busy))
            continue;
        if ((uint32_t)busy == (uint32_t)own) /* fork() in a signal handler: the request goes on in the child too */
            atomic_store(&pool[at].busy, own);
        else
            end_request(e, &pool[at]);
    }
    (void)number;
    return 0;
}

void s5_association_release_call(void *user, struct s5_cleanup *c, bool forked)
{
    struct s5_engine *e = user;
    if (!forked && c->object)
        s5_association_abandon(e, c->object, c->object_generation);
    s5_blocking_release(e, c, forked);
}

void s5_association_begin_request(struct s5_association *a, struct s5_cleanup *call)
{
    atomic_store(&a->busy, s5_thread_token());
    call->object_generation = atomic_load(&a->generation);
    call->object = a;
}

int s5_association_still(struct s5_engine *e, const struct s5_association *a, uint32_t generation, uint64_t cookie,
                         int fd)
{
    if (s5_association_is(e, fd, a, generation))
        return 0;
    return s5_fd_cookie(e, fd) == cookie ? S5_RESULT_NO_ASSOCIATION : -EBADF;
}

const struct s5_kind s5_association_kind = {
    .getpeername = s5_association_getpeername,
    .getsockname = s5_association_getsockname,
    .getsockopt = s5_association_getsockopt,
    .end = end_association_record,
    .move = move_control,
    .fork_child = end_lost_requests,
};

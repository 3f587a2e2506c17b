/* A set-associative table: a cookie's entry is at one of eight places. An odd version excludes other writers, and a
 * reader that finds another version afterwards discards what it read. A place whose writer was killed remains odd and
 * is not used again; there are seven others. */
#include "passed.h"
#include "endpoint.h"
#include "exported.h"
#include "shm.h"
#include <string.h>

#define WAYS 8u

static struct s5_passed *get_ways(struct s5_shm *shm, uint64_t cookie)
{
    uint64_t hash = cookie * 0x9e3779b97f4a7c15ull;
    return &shm->passed[(hash >> 32) % (S5_SHM_PASSED / WAYS) * WAYS];
}

struct s5_passed *s5_passed_find(struct s5_shm *shm, uint64_t cookie)
{
    struct s5_passed *ways = get_ways(shm, cookie);
    for (unsigned i = 0; i < WAYS; i++)
        if (atomic_load_explicit(&ways[i].cookie, memory_order_acquire) == cookie)
            return &ways[i];
    return NULL;
}

/* The caller may write P. False: another writer has it. */
static bool begin_write(struct s5_passed *p)
{
    uint32_t version = atomic_load(&p->version);
    return !(version & 1) && atomic_compare_exchange_strong(&p->version, &version, version + 1);
}

static void end_write(struct s5_passed *p)
{
    atomic_fetch_add(&p->version, 1);
}

/* Returns the entry of COOKIE or, if there is none, a free place, else any, which the caller may write; NULL: others
 * write them. */
static struct s5_passed *take_entry(struct s5_shm *shm, uint64_t cookie)
{
    struct s5_passed *ways = get_ways(shm, cookie), *have = s5_passed_find(shm, cookie);
    if (have && begin_write(have))
        return have;
    for (unsigned i = 0; !have && i < WAYS; i++)
        if (atomic_load(&ways[i].cookie) == 0 && begin_write(&ways[i]))
            return &ways[i];
    uint32_t from = atomic_load(&shm->passed_ever);
    for (unsigned i = 0; !have && i < WAYS; i++)
        if (begin_write(&ways[(from + i) % WAYS]))
            return &ways[(from + i) % WAYS];
    return NULL;
}

static void copy_entry(struct s5_passed *to, const struct s5_passed *from)
{
    to->state = from->state;
    to->error = from->error;
    to->server_index = from->server_index;
    to->port = from->port;
    to->family = from->family;
    to->mixed = from->mixed;
    to->peer = from->peer;
    to->local = from->local;
    to->relay = from->relay;
    to->internal = from->internal;
    to->internal_cookie = from->internal_cookie;
    to->process = from->process;
    to->pid = from->pid;
}

void s5_passed_write(struct s5_shm *shm, uint64_t cookie, const struct s5_passed *what)
{
    struct s5_passed *p = take_entry(shm, cookie);
    atomic_fetch_add(&shm->passed_ever, 1);
    if (!p)
        return;
    if (atomic_load(&p->cookie) != cookie) {
        atomic_store(&p->cookie, 0);
        atomic_store(&p->sent, 0);
        atomic_store(&p->taken, 0);
        atomic_store(&p->shared, 0);
    }
    copy_entry(p, what);
    atomic_store_explicit(&p->cookie, cookie, memory_order_release);
    end_write(p);
}

void s5_passed_erase(struct s5_shm *shm, uint64_t cookie)
{
    struct s5_passed *p = s5_passed_find(shm, cookie);
    if (!p || !begin_write(p))
        return;
    if (atomic_load(&p->cookie) == cookie)
        atomic_store(&p->cookie, 0);
    end_write(p);
}

static bool is_valid_endpoint(const struct s5_endpoint *at)
{
    if (at->len == 0)
        return true;
    return at->any.sa_family == AF_INET    ? at->len == sizeof at->v4
           : at->any.sa_family == AF_INET6 ? at->len == sizeof at->v6
                                           : false;
}

struct s5_passed *s5_passed_read(struct s5_shm *shm, uint64_t cookie, struct s5_passed *ret)
{
    struct s5_passed *p = s5_passed_find(shm, cookie);
    uint32_t before = p ? atomic_load(&p->version) : 1;
    if (before & 1)
        return NULL;
    copy_entry(ret, p);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load(&p->version) != before || atomic_load(&p->cookie) != cookie)
        return NULL;
    if (!is_valid_endpoint(&ret->peer) || !is_valid_endpoint(&ret->local) || !is_valid_endpoint(&ret->relay) ||
        (ret->family && ret->family != AF_INET && ret->family != AF_INET6) || (ret->error > 0 || ret->error < -4095))
        return NULL;
    return p;
}

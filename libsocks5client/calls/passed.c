/* A set-associative table: a cookie's entry is at one of eight places. Writers exclude each other by an odd version,
 * and a reader that finds another version afterwards has read nothing. A place whose writer was killed stays odd and is
 * not used again; there are seven others. */
#include "passed.h"
#include "endpoint.h"
#include "exported.h"
#include "shm.h"
#include <string.h>

#define WAYS 8u

static struct s5_passed *ways_of(struct s5_shm *shm, uint64_t cookie)
{
    uint64_t hash = cookie * 0x9e3779b97f4a7c15ull;
    return &shm->passed[(hash >> 32) % (S5_SHM_PASSED / WAYS) * WAYS];
}

struct s5_passed *s5_passed_find(struct s5_shm *shm, uint64_t cookie)
{
    struct s5_passed *ways = ways_of(shm, cookie);
    for (unsigned i = 0; i < WAYS; i++)
        if (atomic_load_explicit(&ways[i].cookie, memory_order_acquire) == cookie)
            return &ways[i];
    return NULL;
}

/* P is the caller's to write. */
static bool begin(struct s5_passed *p)
{
    uint32_t version = atomic_load(&p->version);
    return !(version & 1) && atomic_compare_exchange_strong(&p->version, &version, version + 1);
}

static void end(struct s5_passed *p)
{
    atomic_fetch_add(&p->version, 1);
}

/* The entry of COOKIE, else a free place, else any: the caller's to write. */
static struct s5_passed *take(struct s5_shm *shm, uint64_t cookie)
{
    struct s5_passed *ways = ways_of(shm, cookie), *have = s5_passed_find(shm, cookie);
    if (have && begin(have))
        return have;
    for (unsigned i = 0; !have && i < WAYS; i++)
        if (atomic_load(&ways[i].cookie) == 0 && begin(&ways[i]))
            return &ways[i];
    uint32_t from = atomic_load(&shm->passed_ever);
    for (unsigned i = 0; !have && i < WAYS; i++)
        if (begin(&ways[(from + i) % WAYS]))
            return &ways[(from + i) % WAYS];
    return NULL;
}

static void copy(struct s5_passed *to, const struct s5_passed *from)
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
    struct s5_passed *p = take(shm, cookie);
    atomic_fetch_add(&shm->passed_ever, 1);
    if (!p)
        return;
    if (atomic_load(&p->cookie) != cookie) {
        atomic_store(&p->cookie, 0);
        atomic_store(&p->sent, 0);
        atomic_store(&p->taken, 0);
        atomic_store(&p->shared, 0);
    }
    copy(p, what);
    atomic_store_explicit(&p->cookie, cookie, memory_order_release);
    end(p);
}

void s5_passed_erase(struct s5_shm *shm, uint64_t cookie)
{
    struct s5_passed *p = s5_passed_find(shm, cookie);
    if (!p || !begin(p))
        return;
    if (atomic_load(&p->cookie) == cookie)
        atomic_store(&p->cookie, 0);
    end(p);
}

static bool is_whole(const struct s5_endpoint *at)
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
    copy(ret, p);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load(&p->version) != before || atomic_load(&p->cookie) != cookie)
        return NULL;
    if (!is_whole(&ret->peer) || !is_whole(&ret->local) || !is_whole(&ret->relay) ||
        (ret->family && ret->family != AF_INET && ret->family != AF_INET6) || (ret->error > 0 || ret->error < -4095))
        return NULL;
    return p;
}

/* The rules are applied to a name before it gets a fake address, and again, with port and protocol, on a connection
 * to the fake address. A name has a number, which is in the last bits of both its fake addresses, so number and
 * address are converted by arithmetic. The pool in the shared state maps the number to the name. */
#include "names.h"
#include "fake_pool.h"
#include "hosts.h"
#include "in_engine.h"
#include "keyed.h"
#include "resolve.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- numbers and addresses --- */

static void put_number(uint8_t *octets, size_t len, uint32_t number)
{
    for (size_t i = len; number; number >>= 8)
        octets[--i] |= (uint8_t)number;
}

/* Returns the number in the address OCTETS: what follows the prefix. 0: the number is too large to be valid. */
static uint32_t get_number(const struct s5_fake_range *range, const uint8_t *octets, size_t len)
{
    uint32_t number = 0;
    for (size_t i = 0; i < len; i++) {
        if (number >> 24)
            return 0;
        number = number << 8 | (uint8_t)(octets[i] ^ range->octets[i]);
    }
    return number;
}

/* --- the pool --- */

/* Stores in RET the numbers of the pool of SHM. Returns false if there is no pool or no number for it. */
static bool get_pool_range(const struct s5_shm *shm, const struct s5_policy *p, struct s5_fake_pool_range *ret)
{
    return shm &&
           s5_fake_pool_range(atomic_load_explicit(&shm->slice, memory_order_relaxed), s5_policy_fake_ranges(p), ret);
}

/* Returns the number of NAME, which is assigned if it has none. 0: there is no pool, or no free number. */
static uint32_t assign_number(struct s5_engine *e, const struct s5_policy *p, const struct s5_addr *name)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    struct s5_fake_pool_range range;
    struct s5_fake_pool_key key;
    uint64_t seed;
    if (!get_pool_range(shm, p, &range))
        return 0;
    if (s5_fake_pool_unseeded(&shm->pool)) {
        if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
            seed = (uint64_t)(uintptr_t)&key;
        s5_fake_pool_seed(&shm->pool, seed);
    }
    s5_fake_pool_key(&shm->pool, name, &key);
    uint32_t number = s5_fake_pool_get(&shm->pool, &key, range.n);
    return number ? range.first + number : 0;
}

int s5_names_find(struct s5_engine *e, struct s5_addr *addr)
{
    const struct s5_policy *p = s5_engine_policy(e);
    if (!p || (addr->kind != S5_ADDR_IPV4 && addr->kind != S5_ADDR_IPV6))
        return 0;
    bool v4 = addr->kind == S5_ADDR_IPV4;
    const struct s5_fake_range *range = v4 ? &p->fake_ipv4 : &p->fake_ipv6;
    if (!s5_addr_same_prefix(range->octets, addr->octets, range->prefix))
        return 0;
    struct s5_shm *shm = atomic_load(&e->shm);
    uint32_t number = get_number(range, addr->octets, v4 ? 4 : 16);
    struct s5_fake_pool_range pool;
    if (get_pool_range(shm, p, &pool) && number - pool.first < pool.n &&
        s5_fake_pool_name(&shm->pool, number - pool.first, addr))
        return 1;
    return p->resolve_local ? 0 : -EHOSTUNREACH; /* 0: the range has no special meaning */
}

int s5_names_of(struct s5_engine *e, struct s5_addr *addr)
{
    int r = s5_names_find(e, addr);
    char text[S5_ADDR_TEXT_MAX];
    if (r < 0)
        s5_log(&e->log, S5_LOG_ERROR, "refused: %s is in the fake-address range but is not assigned to a name",
               s5_addr_format(addr, text, sizeof text));
    return r;
}

void s5_names_detach(struct s5_engine *e, struct s5_shm *copy)
{
    bool loaded = atomic_load(&e->policy_state) == S5_ENGINE_LOADED;
    struct s5_policy_file *file = loaded ? NULL : s5_shm_policy(copy, atomic_load(&e->shm_fd), NULL);
    const struct s5_policy *p = loaded ? e->policy : file ? &file->policy : NULL;
    struct s5_fake_pool_range range;
    uint32_t drawn;
    if (getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) != sizeof drawn)
        drawn = (uint32_t)syscall(SYS_getpid) * 0x9e3779b9u;
    if (p && get_pool_range(copy, p, &range)) /* without a policy no name has a number */
        s5_fake_pool_detach(&copy->pool, range.n, drawn);
    if (file)
        s5_policy_file_unmap(file);
}

/* Stores in RET both fake addresses of the valid NAME. Returns 0, or -ENOMEM, logged. */
static int make_fake_addresses(struct s5_engine *e, const struct s5_policy *p, const struct s5_addr *name,
                               struct s5_names_answer *ret)
{
    uint32_t number = assign_number(e, p, name);
    if (!number) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: lookup of \"%s\": no shared memory for names", name->name);
        return -ENOMEM;
    }
    memcpy(ret->v4, p->fake_ipv4.octets, sizeof ret->v4);
    memcpy(ret->v6, p->fake_ipv6.octets, sizeof ret->v6);
    put_number(ret->v4, sizeof ret->v4, number);
    put_number(ret->v6, sizeof ret->v6, number);
    ret->kind = S5_NAMES_OURS;
    return 0;
}

int s5_names_fake_address(struct s5_engine *e, const struct s5_addr *name, int family, struct s5_endpoint *ret)
{
    const struct s5_policy *p = s5_engine_policy(e);
    struct s5_names_answer answer;
    struct s5_addr addr;
    if (!p)
        return atomic_load(&e->refusal);
    /* NAME may come from the network, so it is parsed again. */
    if (name->kind != S5_ADDR_NAME || s5_addr_parse(&addr, name->name, name->name_len, name->port) < 0 ||
        addr.kind != S5_ADDR_NAME)
        return -EINVAL;
    int r = make_fake_addresses(e, p, &addr, &answer);
    if (r < 0)
        return r;
    if (family == AF_INET)
        s5_addr_from_octets(&addr, answer.v4, 4, name->port);
    else
        s5_addr_from_octets(&addr, answer.v6, 16, name->port);
    return s5_endpoint_of(&addr, family, ret);
}

/* --- lookups --- */

/* Returns true if libc parses NODE as an address or rejects it: there is no query in either case. */
static bool is_literal(const char *node)
{
    struct in6_addr any;
    char text[INET6_ADDRSTRLEN];
    const char *scope = strchr(node, '%');
    size_t len = scope ? (size_t)(scope - node) : strlen(node);
    if (!memchr(node, ':', len))
        return node[0] >= '0' && node[0] <= '9' && !strpbrk(node, " \t\n\v\f\r") &&
               inet_aton(node, (struct in_addr *)&any);
    if (len >= sizeof text)
        return false;
    memcpy(text, node, len);
    text[len] = 0;
    return inet_pton(AF_INET6, text, &any) == 1;
}

static bool is_localhost(const struct s5_addr *name)
{
    size_t len = name->name_len;
    if (len > 1 && name->name[len - 1] == '.')
        len--;
    return len >= 9 && (name->name[len - 1] | 0x20) == 't' && strncasecmp(name->name + len - 9, "localhost", 9) == 0 &&
           (len == 9 || name->name[len - 10] == '.');
}

/* Returns true if libc finds NODE in the hosts file. For a family that is not in it libc would send a query. */
static bool is_in_hosts(const char *node, int family)
{
    unsigned have = s5_hosts_hosts(node);
    return have & (family == AF_INET ? S5_HOSTS_V4 : family == AF_INET6 ? S5_HOSTS_V6 : S5_HOSTS_V4 | S5_HOSTS_V6);
}

static int answer_by_rules(struct s5_engine *e, const struct s5_policy *p, const struct s5_addr *name,
                           struct s5_names_answer *ret)
{
    static const uint8_t here4[4] = {127, 0, 0, 1};
    struct s5_route route = s5_policy_decide_name(p, name);
    if (route.verdict == S5_DENY) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: lookup of \"%s\" (%s%s)", name->name,
               route.rule < 0 ? "no rule matches" : "rule ",
               route.rule < 0 ? "" : s5_policy_text(p, p->rules[route.rule].name));
        return -EACCES;
    }
    if (is_localhost(name)) {
        memcpy(ret->v4, here4, sizeof here4);
        memset(ret->v6, 0, sizeof ret->v6);
        ret->v6[15] = 1;
        ret->kind = S5_NAMES_OURS;
        return 0;
    }
    if (route.verdict == S5_VIA && !p->resolve_local)
        return make_fake_addresses(e, p, name, ret);
    ret->kind = S5_NAMES_LIBC;
    ret->queries = true;
    if (s5_fence() == S5_FENCE_SILENT) { /* the kernel refuses the packets of libc's resolver */
        s5_log(&e->log, S5_LOG_ERROR, "refused: lookup of \"%s\": without a companion no query leaves the fence",
               name->name);
        return -EACCES;
    }
    return p->resolve_local ? s5_resolve_allowed(e, name->name) : 0;
}

static int look_up_name(struct s5_engine *e, const char *node, int family, bool whole, struct s5_names_answer *ret)
{
    struct s5_addr name;
    if (is_literal(node))
        return 0;
    size_t len = strnlen(node, S5_ADDR_NAME_MAX + 1);
    if (s5_addr_parse(&name, node, len, 0) < 0 || name.kind != S5_ADDR_NAME)
        return -EINVAL;
    const struct s5_policy *p = s5_engine_policy(e);
    if (!p)
        return atomic_load(&e->refusal);
    if (is_in_hosts(node, family))
        return 0;
    if (!whole && s5_policy_complete(p, &name))
        memcpy(ret->whole, name.name, name.name_len + 1u);
    return answer_by_rules(e, p, &name, ret);
}

static int look_up_unless_in_engine(struct s5_engine *e, const char *node, int family, bool whole,
                                    struct s5_names_answer *ret)
{
    int saved = errno, r = 0;
    ret->kind = S5_NAMES_LIBC;
    ret->queries = false;
    ret->whole[0] = 0;
    if (!s5_in_engine)
        r = look_up_name(e, node, family, whole, ret);
    errno = saved;
    return r;
}

int s5_names_look_up(struct s5_engine *e, const char *node, int family, struct s5_names_answer *ret)
{
    return look_up_unless_in_engine(e, node, family, false, ret);
}

int s5_names_question(struct s5_engine *e, const char *name, int family, struct s5_names_answer *ret)
{
    return look_up_unless_in_engine(e, name, family, true, ret);
}

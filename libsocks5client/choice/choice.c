/* A flow takes the first server, in the order of the rule's "pick", that was not tried yet. A server that is known to
 * be down is taken if no other is left. */
#include "choice.h"
#include "bridge.h"
#include "clock.h"
#include "isolation.h"
#include "log_events.h"
#include "resolve.h"
#include "server_cache.h"
#include "siphash.h"
#include <sys/random.h>

/* A server that closes the connection in place of this many replies in a row is not believed any more. */
#define CLOSED_MAX 3

/* Returns the policy that CHOICE began with; NULL: this process does not have it. */
static const struct s5_policy *get_policy(const struct s5_engine *e, const struct s5_choice *choice)
{
    return s5_policy_file_find(e->policy_file, choice->generation);
}

const struct s5_rule *s5_choice_rule(const struct s5_engine *e, const struct s5_choice *choice)
{
    static const struct s5_rule none;
    const struct s5_policy *p = get_policy(e, choice);
    return p ? &p->rules[(choice->rule - 1u) % S5_POLICY_RULES] : &none;
}

static unsigned count_servers(const struct s5_engine *e, const struct s5_choice *choice)
{
    return s5_choice_rule(e, choice)->via_count;
}

/* Returns the server at place AT. */
static const struct s5_server *get_server(const struct s5_engine *e, const struct s5_choice *choice, unsigned at)
{
    static const struct s5_server none;
    const struct s5_policy *p = get_policy(e, choice);
    if (!p)
        return &none;
    unsigned via = (p->rules[(choice->rule - 1u) % S5_POLICY_RULES].via_first + at) % S5_POLICY_VIAS;
    return &p->servers[p->vias[via] % S5_POLICY_SERVERS];
}

static uint64_t get_time(void)
{
    return (uint64_t)s5_clock_wall_ms();
}

static struct s5_server_cache_entry *get_table(struct s5_engine *e)
{
    return atomic_load(&e->shm)->server_cache;
}

static uint64_t get_key(const struct s5_engine *e, const struct s5_choice *choice, unsigned at)
{
    return e->server_keys[get_server(e, choice, at)->index];
}

/* --- the order --- */

/* Returns a number for the host of TO, the same in each run. */
static uint64_t hash_host(const struct s5_addr *to)
{
    static const struct s5_server by_host = {.isolate = S5_ISOLATE_DESTINATION};
    static const uint64_t no_secret[2];
    struct s5_identity identity;
    s5_isolation_derive(&identity, no_secret, &by_host, 0, to);
    return identity.words[0];
}

static uint64_t draw_seed(struct s5_engine *e, const struct s5_policy *p, unsigned rule, const struct s5_addr *to)
{
    uint64_t seed = 0;
    int saved = errno;
    switch ((enum s5_pick)p->rules[rule].pick) {
    case S5_PICK_ORDER:
        break;
    case S5_PICK_RANDOM:
        if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed)
            seed = s5_clock_now();
        break;
    case S5_PICK_ROUND_ROBIN:
        seed = atomic_fetch_add(&atomic_load(&e->shm)->rounds[rule], 1);
        break;
    case S5_PICK_STICKY:
        seed = hash_host(to);
        break;
    }
    errno = saved;
    return seed;
}

/* Returns the place with the highest score in SET, a bit for each place. What a server that fails leaves goes to all
 * others alike. */
static int find_by_score(const struct s5_engine *e, const struct s5_choice *choice, uint32_t set)
{
    int best = -1;
    for (uint64_t high = 0; set; set &= set - 1) {
        int at = __builtin_ctz(set);
        uint64_t score = s5_siphash_of((uint64_t[]){choice->seed, get_key(e, choice, (unsigned)at)}, "", 0);
        if (best < 0 || score > high) {
            best = at;
            high = score;
        }
    }
    return best;
}

/* Returns the place in SET, a bit for each place, that comes first; -1: it is empty. */
static int find_best(const struct s5_engine *e, const struct s5_choice *choice, uint32_t set)
{
    unsigned n = (unsigned)__builtin_popcount(set);
    if (n == 0)
        return -1;
    switch ((enum s5_pick)s5_choice_rule(e, choice)->pick) {
    case S5_PICK_RANDOM:
    case S5_PICK_STICKY:
        return find_by_score(e, choice, set);
    case S5_PICK_ROUND_ROBIN:
        for (uint64_t skip = choice->seed % n; skip; skip--)
            set &= set - 1;
        break;
    case S5_PICK_ORDER:
        break;
    }
    return __builtin_ctz(set);
}

/* --- the servers --- */

static bool is_ready(const struct s5_server *server)
{
    if (s5_bridge_fronts(server))
        return __atomic_load_n(&server->bridged, __ATOMIC_ACQUIRE) == S5_SERVER_BRIDGED;
    return __atomic_load_n(&server->n_addrs, __ATOMIC_ACQUIRE) > 0;
}

static bool is_reachable(const struct s5_server *server, int family)
{
    for (unsigned i = 0; i < server->n_addrs; i++)
        if (family != AF_INET || server->addrs[i].kind == S5_ADDR_IPV4)
            return true;
    return false;
}

/* A name that cannot be resolved makes its server one that is down, so that not each connection waits for it. */
static void prepare_server(struct s5_engine *e, const struct s5_choice *choice, unsigned at)
{
    const struct s5_server *server = get_server(e, choice, at);
    uint64_t key = get_key(e, choice, at), now = get_time();
    if (is_ready(server) && !s5_bridge_fronts(server)) /* a bridge may have ended */
        return;
    if (!s5_server_cache_down_for(get_table(e), key, now) && s5_resolve_server(e, server, S5_LOG_WARNING) < 0)
        s5_server_cache_set_down(get_table(e), "", key, now, true);
}

void s5_choice_begin(struct s5_engine *e, struct s5_choice *ret, const struct s5_policy *p, unsigned rule,
                     const struct s5_addr *to)
{
    *ret = (struct s5_choice){.rule = (uint16_t)(rule + 1),
                              .generation = s5_policy_file_of(p)->generation,
                              .seed = draw_seed(e, p, rule, to)};
    uint16_t timeout = s5_choice_rule(e, ret)->timeout, longest = 0;
    for (unsigned at = 0; at < count_servers(e, ret); at++) {
        const struct s5_server *server = get_server(e, ret, at);
        longest = server->timeout > longest ? server->timeout : longest;
        prepare_server(e, ret, at);
    }
    ret->until = s5_clock_now() + (timeout ? timeout : longest) * S5_CLOCK_SECOND;
}

void s5_choice_repeat(struct s5_choice *choice, uint64_t timeout)
{
    choice->tried = 0;
    choice->until = s5_clock_now() + timeout;
}

/* Returns the servers, a bit for each place, that a flow may try: those that were not tried and that a socket of FAMILY
 * can reach. *RET_DOWN: those of them that are known to be down. */
static uint32_t find_candidates(struct s5_engine *e, const struct s5_choice *choice, int family, uint32_t *ret_down)
{
    uint32_t set = 0;
    uint64_t now = get_time();
    *ret_down = 0;
    for (unsigned at = 0; at < count_servers(e, choice) && at < S5_POLICY_SERVERS; at++) {
        const struct s5_server *server = get_server(e, choice, at);
        if (choice->tried & 1u << at || !is_ready(server) || !is_reachable(server, family))
            continue;
        set |= 1u << at;
        if (s5_server_cache_down_for(get_table(e), get_key(e, choice, at), now))
            *ret_down |= 1u << at;
    }
    return set;
}

const struct s5_server *s5_choice_next(struct s5_engine *e, struct s5_choice *choice, int family)
{
    uint32_t down, set = find_candidates(e, choice, family, &down);
    enum s5_server_state state = S5_SERVER_DOWN;
    int at;
    while ((at = find_best(e, choice, set & ~down)) >= 0) {
        uint32_t limit = get_server(e, choice, (unsigned)at)->timeout * 1000u;
        state = s5_server_cache_try(get_table(e), get_key(e, choice, (unsigned)at), get_time(), limit);
        if (state != S5_SERVER_DOWN)
            break;
        down |= 1u << at; /* another flow tries it */
    }
    if (at < 0)
        at = find_best(e, choice, set);
    if (at < 0)
        return NULL;
    choice->tried |= 1u << at;
    choice->at = (uint8_t)at;
    choice->probe = state == S5_SERVER_TO_PROBE;
    choice->left = (uint8_t)__builtin_popcount(set & ~(1u << at));
    return get_server(e, choice, (unsigned)at);
}

uint64_t s5_choice_deadline(const struct s5_engine *e, const struct s5_choice *choice)
{
    uint64_t now = s5_clock_now(), left = choice->until > now ? choice->until - now : 0;
    unsigned n = choice->left + 1u;
    uint64_t own = get_server(e, choice, choice->at)->timeout * S5_CLOCK_SECOND;
    return now + (left / n < own ? left / n : own);
}

/* --- what is learnt --- */

void s5_choice_failed(struct s5_engine *e, const struct s5_choice *choice)
{
    if (!get_policy(e, choice))
        return;
    s5_server_cache_set_down(get_table(e), e->policy_file->server_cache_path, get_key(e, choice, choice->at),
                             get_time(), choice->probe);
}

void s5_choice_succeeded(struct s5_engine *e, const struct s5_choice *choice)
{
    if (get_policy(e, choice))
        s5_server_cache_set_up(get_table(e), e->policy_file->server_cache_path, get_key(e, choice, choice->at));
}

bool s5_choice_closed(struct s5_engine *e, const struct s5_choice *choice)
{
    return get_policy(e, choice) &&
           s5_server_cache_count_closed(get_table(e), get_key(e, choice, choice->at)) >= CLOSED_MAX;
}

void s5_choice_note(struct s5_engine *e, const struct s5_choice *choice, int r, bool down)
{
    if (r >= 0)
        s5_choice_succeeded(e, choice);
    else if (choice->left > 0)
        s5_log_events_passed_over(e, get_server(e, choice, choice->at)->index);
    if (r < 0 && down)
        s5_choice_failed(e, choice);
}

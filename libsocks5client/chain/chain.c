/* A server may be reachable through one hop and not through another or directly. What is learnt about a hop that is
 * down is therefore stored for it and the hop before it. */
#include "chain.h"
#include "auth.h"
#include "clock.h"
#include "error.h"
#include "log_events.h"
#include "route.h"
#include "server.h"
#include "server_cache.h"
#include "siphash.h"
#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* The time of a connection is divided among that many more attempts at most. */
#define SPARE_MAX 3

/* --- the hops --- */

/* Returns the policy that F began with; NULL: this process does not have it. */
static const struct s5_policy *get_policy(const struct s5_engine *e, const struct s5_negotiation *f)
{
    return s5_policy_file_find(e->policy_file, f->chain.generation);
}

static const struct s5_server *get_entry(const struct s5_engine *e, const struct s5_negotiation *f, uint32_t index)
{
    static const struct s5_server none;
    const struct s5_policy *p = get_policy(e, f);
    return p ? &p->servers[index % S5_POLICY_SERVERS] : &none;
}

static const struct s5_server *get_chain(const struct s5_engine *e, const struct s5_negotiation *f)
{
    return get_entry(e, f, s5_negotiation_server(f));
}

static const struct s5_server *get_hop(const struct s5_engine *e, const struct s5_negotiation *f, unsigned at)
{
    return get_entry(e, f, s5_negotiation_hop(f, at));
}

const char *s5_chain_hop_name(const struct s5_engine *e, const struct s5_negotiation *f, unsigned at)
{
    const struct s5_policy *p = get_policy(e, f);
    return p ? s5_policy_text(p, get_hop(e, f, at)->name) : "";
}

void s5_chain_hop(struct s5_engine *e, const struct s5_negotiation *f, unsigned at, struct s5_hop *ret)
{
    const struct s5_server *server = get_hop(e, f, at);
    bool known = server->pipeline == S5_PIPELINE_ON;
    *ret = (struct s5_hop){.server = server, .key = e->server_keys[s5_negotiation_hop(f, at)]};
    ret->again = f->chain.stepwise & 1u << f->chain.places[at % S5_CHAIN_HOPS] % 32;
    ret->pipeline = known;
    if (server->pipeline == S5_PIPELINE_AUTO) {
        enum s5_pipelining_support support = s5_server_cache_pipelining(atomic_load(&e->shm)->server_cache, ret->key);
        ret->pipeline = support != S5_PIPELINING_UNSUPPORTED && !ret->again;
        ret->probing = support == S5_PIPELINING_UNKNOWN && !ret->again;
        known = support == S5_PIPELINING_SUPPORTED && !ret->again;
    }
    const struct s5_auth *auth = server->n_methods == 1 ? s5_auth_find(server->methods[0]) : NULL;
    ret->certain = known && auth && !auth->foreign;
}

void s5_chain_destination(const struct s5_engine *e, const struct s5_negotiation *f, unsigned at, struct s5_addr *ret)
{
    if (at + 1 >= f->chain.n) {
        *ret = f->chain.to;
        return;
    }
    const struct s5_policy *p = get_policy(e, f);
    const struct s5_server *next = get_hop(e, f, at + 1);
    const char *host = p ? s5_policy_text(p, next->host) : "";
    if (s5_addr_parse(ret, host, strlen(host), next->port) < 0)
        *ret = (struct s5_addr){.kind = S5_ADDR_NONE};
}

bool s5_chain_goes_ahead(struct s5_engine *e, const struct s5_negotiation *f, unsigned at)
{
    struct s5_hop hop, next;
    if (at + 1 >= f->chain.n)
        return false;
    s5_chain_hop(e, f, at, &hop);
    s5_chain_hop(e, f, at + 1, &next);
    return hop.certain && !next.probing && !next.again;
}

/* --- the choice --- */

static uint64_t get_time(void)
{
    return (uint64_t)s5_clock_wall_ms();
}

static struct s5_server_cache_entry *get_table(struct s5_engine *e)
{
    return atomic_load(&e->shm)->server_cache;
}

/* Returns the key of the server INDEX behind that of the key BEFORE; 0: it is the first one. */
static uint64_t get_hop_key(const struct s5_engine *e, uint32_t index, uint64_t before)
{
    uint64_t key = e->server_keys[index];
    return before ? s5_siphash_of((uint64_t[]){key, before}, "", 0) | 1 : key;
}

static uint64_t get_down_key(const struct s5_engine *e, const struct s5_negotiation *f, unsigned at)
{
    uint64_t before = at ? e->server_keys[s5_negotiation_hop(f, at - 1)] : 0;
    return get_hop_key(e, s5_negotiation_hop(f, at), before);
}

/* Returns the index of the server at PLACE of CHAIN, which is an entry of a policy. */
static uint32_t find_index(const struct s5_server *chain, unsigned place)
{
    return s5_server_policy(chain)->vias[(chain->hops_first + place) % S5_POLICY_VIAS] % S5_POLICY_SERVERS;
}

/* The order in which the servers of a chain are considered. */
struct order {
    uint8_t n;
    uint8_t places[S5_POLICY_SERVERS];
};

static void shuffle_order(struct order *order)
{
    uint8_t lots[S5_POLICY_SERVERS];
    int saved = errno;
    if (getrandom(lots, sizeof lots, GRND_NONBLOCK) != sizeof lots)
        for (unsigned i = 0; i < sizeof lots; i++)
            lots[i] = (uint8_t)(s5_clock_now() >> (i % 8));
    errno = saved;
    for (unsigned i = order->n; i > 1; i--) {
        unsigned other = lots[i - 1] % i;
        uint8_t place = order->places[i - 1];
        order->places[i - 1] = order->places[other];
        order->places[other] = place;
    }
}

static void make_order(struct s5_engine *e, const struct s5_server *chain, struct order *ret)
{
    unsigned first = 0;
    ret->n = chain->n_hops <= S5_POLICY_SERVERS ? chain->n_hops : S5_POLICY_SERVERS;
    if (chain->chain_mode == S5_CHAIN_ROUND_ROBIN)
        first = atomic_load(&atomic_load(&e->shm)->chain_rounds[chain->index % S5_POLICY_SERVERS]);
    for (unsigned i = 0; i < ret->n; i++)
        ret->places[i] = (uint8_t)((first + i) % ret->n);
    if (chain->chain_mode == S5_CHAIN_RANDOM)
        shuffle_order(ret);
}

static unsigned get_length(const struct s5_server *chain)
{
    bool some = chain->chain_mode == S5_CHAIN_RANDOM || chain->chain_mode == S5_CHAIN_ROUND_ROBIN;
    return some ? chain->chain_length : S5_CHAIN_HOPS;
}

static bool is_resolved(const struct s5_server *hop, int family)
{
    for (unsigned i = 0; i < hop->n_addrs; i++)
        if (family != AF_INET || hop->addrs[i].kind == S5_ADDR_IPV4)
            return true;
    return false;
}

/* Returns true if the server at PLACE can be the next hop of F. Those that are down only if ALL. */
static bool is_candidate(struct s5_engine *e, struct s5_negotiation *f, unsigned place, bool all, bool *ret_probe)
{
    const struct s5_server *chain = get_chain(e, f);
    uint32_t index = find_index(chain, place);
    const struct s5_server *hop = get_entry(e, f, index);
    *ret_probe = false;
    if (f->chain.dead & 1u << place || (f->chain.n == 0 && !is_resolved(hop, f->server.any.sa_family)))
        return false;
    if (all || chain->chain_mode == S5_CHAIN_STRICT)
        return true;
    uint64_t before = f->chain.n ? e->server_keys[s5_negotiation_hop(f, f->chain.n - 1u)] : 0;
    enum s5_server_state state =
        s5_server_cache_try(get_table(e), get_hop_key(e, index, before), get_time(), chain->timeout * 1000u);
    *ret_probe = state == S5_SERVER_TO_PROBE;
    return state != S5_SERVER_DOWN;
}

/* Takes hops of ORDER for F, as many as its chain has. A server whose name cannot be resolved here can be any hop but
 * the first, so that where the order is free those before the first hop are considered again. Returns their number. */
static unsigned take_hops(struct s5_engine *e, struct s5_negotiation *f, const struct order *order, bool all)
{
    const struct s5_server *chain = get_chain(e, f);
    bool free_order = chain->chain_mode == S5_CHAIN_RANDOM || chain->chain_mode == S5_CHAIN_ROUND_ROBIN;
    unsigned length = get_length(chain), last = 0;
    uint32_t taken = 0;
    f->chain.n = 0;
    f->chain.probes = 0;
    for (unsigned i = 0; i < (free_order ? 2u : 1u) * order->n && f->chain.n < length; i++) {
        unsigned place = order->places[i % order->n];
        bool probe;
        if (taken & 1u << place || !is_candidate(e, f, place, all, &probe))
            continue;
        taken |= 1u << place;
        f->chain.probes |= (uint16_t)(probe << f->chain.n);
        f->chain.hops[f->chain.n] = (uint8_t)find_index(chain, place);
        f->chain.places[f->chain.n++] = (uint8_t)place;
        last = i < order->n ? i + 1 : order->n;
    }
    if (chain->chain_mode == S5_CHAIN_ROUND_ROBIN)
        atomic_fetch_add(&atomic_load(&e->shm)->chain_rounds[chain->index % S5_POLICY_SERVERS], last);
    return f->chain.n;
}

/* Returns how many hops of CHAIN a connection needs. */
static unsigned get_least(const struct s5_server *chain)
{
    switch ((enum s5_chain_mode)chain->chain_mode) {
    case S5_CHAIN_STRICT:
        return chain->n_hops;
    case S5_CHAIN_DYNAMIC:
        return 1;
    default:
        return chain->chain_length;
    }
}

int s5_chain_choose(struct s5_engine *e, struct s5_negotiation *f)
{
    const struct s5_server *chain = get_chain(e, f);
    struct order order;
    if (chain->n_hops == 0)
        return -EHOSTUNREACH;
    make_order(e, chain, &order);
    unsigned least = get_least(chain);
    if (take_hops(e, f, &order, false) < least && take_hops(e, f, &order, true) < least) {
        f->chain.n = f->chain.n ? f->chain.n : 1; /* it is a chain still */
        return -EHOSTUNREACH;
    }
    f->chain.at = f->chain.ahead = 0;
    f->chain.ahead_sent = f->chain.piped = 0;
    return s5_route_address(e, get_hop(e, f, 0), f->server.any.sa_family, &f->server);
}

int s5_chain_begin(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *chain,
                   const struct s5_addr *dst)
{
    f->chain.to = *dst;
    f->chain.generation = s5_policy_file_of(s5_server_policy(chain))->generation;
    f->chain.dead = f->chain.stepwise = 0;
    f->chain.until = s5_clock_now() + chain->timeout * S5_CLOCK_SECOND;
    int r = s5_chain_choose(e, f);
    if (r < 0)
        s5_log(&e->log, S5_LOG_ERROR, "refused: chain \"%s\": too few servers can be used", s5_server_name(chain));
    return r;
}

/* --- other hops --- */

static unsigned count_usable(const struct s5_server *chain, const struct s5_negotiation *f)
{
    unsigned usable = 0;
    for (unsigned place = 0; place < chain->n_hops && place < S5_POLICY_SERVERS; place++)
        usable += !(f->chain.dead & 1u << place);
    return usable;
}

unsigned s5_chain_spare(const struct s5_engine *e, const struct s5_negotiation *f)
{
    const struct s5_server *chain = get_chain(e, f);
    unsigned usable = count_usable(chain, f), least = get_least(chain);
    return usable <= least ? 0 : usable - least > SPARE_MAX ? SPARE_MAX : usable - least;
}

bool s5_chain_has_other_hops(const struct s5_engine *e, const struct s5_negotiation *f)
{
    const struct s5_server *chain = get_chain(e, f);
    return chain->n_hops && count_usable(chain, f) >= get_least(chain);
}

/* --- what is learnt --- */

const char *s5_chain_judge(const struct s5_negotiation *f, int error, int *ret_dead)
{
    bool on_the_way = s5_negotiation_is_on_the_way(f);
    bool replies = f->session.have_rep || s5_session_last_state(&f->session) >= S5_SESSION_REPLY;
    *ret_dead = -1;
    if (atomic_load(&f->phase) < S5_NEGOTIATION_TALKING) {
        *ret_dead = 0;
        return error == -ETIMEDOUT ? "it does not answer" : s5_error_text(error);
    }
    if (replies && !on_the_way)
        return "";
    *ret_dead = f->chain.at + (replies ? 1 : 0);
    return s5_log_events_why(f, error);
}

void s5_chain_failed(struct s5_engine *e, struct s5_negotiation *f, unsigned at)
{
    bool probe = f->chain.probes & 1u << at % S5_CHAIN_HOPS;
    f->chain.dead |= 1u << f->chain.places[at % S5_CHAIN_HOPS] % 32;
    if (get_chain(e, f)->chain_mode != S5_CHAIN_STRICT)
        s5_server_cache_set_down(get_table(e), e->policy_file->server_cache_path, get_down_key(e, f, at), get_time(),
                                 probe);
}

void s5_chain_worked(struct s5_engine *e, const struct s5_negotiation *f, unsigned at)
{
    if (get_chain(e, f)->chain_mode != S5_CHAIN_STRICT)
        s5_server_cache_set_up(get_table(e), e->policy_file->server_cache_path, get_down_key(e, f, at));
}

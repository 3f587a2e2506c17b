/* Servers are the same if what they are reached by and the user are the same: host, port, user name, methods and
 * isolation. The title and the password may differ. A server that no rule has named since the reload before the last
 * gives up its index if the table is full. The one that the last reload removed keeps it, because programs still use
 * it. */
#include "merge.h"
#include "policy_check.h"
#include "server.h"
#include <errno.h>
#include <string.h>

struct merging {
    struct s5_policy *ret;
    const struct s5_policy *next, *current;
    int to[S5_POLICY_SERVERS];   /* the index in RET of each server of NEXT; -1: not known yet */
    int from[S5_POLICY_SERVERS]; /* the server of NEXT at each index of RET; -1: none */
};

/* --- which servers are the same --- */

static bool is_same_text(const struct merging *m, uint32_t next, uint32_t current)
{
    return strcmp(s5_policy_text(m->next, next), s5_policy_text(m->current, current)) == 0;
}

static bool is_same_server(const struct merging *m, const struct s5_server *a, const struct s5_server *b);

/* Chains are the same if their servers are, in the same order. */
static bool is_same_chain(const struct merging *m, const struct s5_server *a, const struct s5_server *b)
{
    bool same = a->n_hops == b->n_hops && a->chain_mode == b->chain_mode && a->chain_length == b->chain_length;
    for (unsigned i = 0; same && i < a->n_hops; i++)
        same = is_same_server(m, &m->next->servers[m->next->vias[a->hops_first + i]],
                              &m->current->servers[m->current->vias[b->hops_first + i]]);
    return same;
}

static bool is_same_server(const struct merging *m, const struct s5_server *a, const struct s5_server *b)
{
    if (a->n_hops || b->n_hops)
        return is_same_chain(m, a, b);
    return a->port == b->port && a->is_path == b->is_path && a->username_len == b->username_len &&
           memcmp(a->username, b->username, a->username_len) == 0 && a->n_methods == b->n_methods &&
           memcmp(a->methods, b->methods, sizeof a->methods) == 0 && a->isolate == b->isolate &&
           is_same_text(m, a->host, b->host) && is_same_text(m, a->gssapi_service, b->gssapi_service) &&
           is_same_text(m, a->isolate_title, b->isolate_title);
}

static void place_server(struct merging *m, unsigned i, unsigned at)
{
    m->to[i] = (int)at;
    m->from[at] = (int)i;
}

/* Gives the servers of NEXT the indices of the same servers of CURRENT. */
static void match_servers(struct merging *m, bool titled, bool retired)
{
    for (unsigned i = 0; i < m->next->n_servers; i++)
        for (unsigned at = 0; m->to[i] < 0 && at < m->current->n_servers; at++) {
            const struct s5_server *a = &m->next->servers[i], *b = &m->current->servers[at];
            if (m->from[at] < 0 && b->retired == retired && (!titled || is_same_text(m, a->name, b->name)) &&
                is_same_server(m, a, b))
                place_server(m, i, at);
        }
}

/* Returns an index for a new server; -1: the table is full. */
static int find_free_index(const struct merging *m)
{
    for (unsigned at = m->current->n_servers; at < S5_POLICY_SERVERS; at++)
        if (m->from[at] < 0)
            return (int)at;
    for (unsigned at = 0; at < m->current->n_servers; at++)
        if (m->from[at] < 0 && m->current->servers[at].retired)
            return (int)at;
    return -1;
}

static int place_new_servers(struct merging *m, uint32_t *ret_reused)
{
    for (unsigned i = 0; i < m->next->n_servers; i++) {
        int at = m->to[i] < 0 ? find_free_index(m) : m->to[i];
        if (at < 0)
            return -ENOSPC;
        if (m->to[i] < 0)
            *ret_reused |= 1u << at;
        place_server(m, i, (unsigned)at);
    }
    return 0;
}

/* --- the table --- */

/* Copies a text of CURRENT. Returns its place in RET, or -ENOSPC. */
static int64_t copy_text(struct merging *m, uint32_t at)
{
    const char *text = s5_policy_text(m->current, at);
    return s5_policy_add_text(m->ret, text, strlen(text));
}

/* Keeps the list of CHAIN, an entry of RET that is as in CURRENT. If the index of one of its servers is now that of
 * another server, the chain cannot be used any more. */
static int retire_chain(struct merging *m, struct s5_server *chain, uint32_t reused)
{
    const uint8_t *hops = m->current->vias + chain->hops_first;
    unsigned n = chain->n_hops;
    chain->n_hops = chain->n_addrs = 0;
    for (unsigned i = 0; i < n; i++)
        if (reused >> hops[i] & 1)
            return 0;
    for (unsigned i = 0; i < n; i++)
        if (s5_policy_add_hop(m->ret, chain->index, hops[i]) < 0)
            return -ENOSPC;
    return 0;
}

/* Keeps the server AT of CURRENT, which no rule names any more. */
static int retire_server(struct merging *m, unsigned at, uint32_t reused)
{
    struct s5_server *server = &m->ret->servers[at];
    *server = m->current->servers[at];
    uint32_t *texts[] = {&server->name, &server->host, &server->gssapi_service, &server->isolate_title};
    server->retired = true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int64_t text = copy_text(m, *texts[i]);
        if (text < 0)
            return -ENOSPC;
        *texts[i] = (uint32_t)text;
    }
    return server->n_hops ? retire_chain(m, server, reused) : 0;
}

/* A server keeps the addresses of its name until somebody resolves the name again. */
static void take_server(struct merging *m, unsigned at, bool is_new)
{
    struct s5_server *server = &m->ret->servers[at];
    const struct s5_server *before = &m->current->servers[at];
    *server = m->next->servers[m->from[at]];
    server->index = (uint8_t)at;
    server->retired = false;
    server->isolate_server = (uint8_t)m->to[server->isolate_server % S5_POLICY_SERVERS];
    if (is_new)
        return;
    server->isolate_rule = before->isolate_rule;
    if (!server->n_addrs) {
        memcpy(server->addrs, before->addrs, sizeof server->addrs);
        server->n_addrs = before->n_addrs;
    }
}

static int fill_table(struct merging *m, uint32_t reused)
{
    unsigned n = m->current->n_servers;
    for (uint32_t i = 0; i < m->ret->n_vias; i++)
        m->ret->vias[i] = (uint8_t)m->to[m->next->vias[i] % S5_POLICY_SERVERS];
    for (unsigned at = 0; at < S5_POLICY_SERVERS; at++) {
        if (m->from[at] >= 0) {
            take_server(m, at, reused >> at & 1);
            n = at + 1 > n ? at + 1 : n;
        } else if (at < m->current->n_servers && retire_server(m, at, reused) < 0)
            return -ENOSPC;
    }
    m->ret->n_servers = n;
    return 0;
}

/* --- isolation by rule --- */

static bool has_number(const struct s5_policy *p, uint32_t known, const struct s5_server *server, uint16_t number)
{
    for (uint32_t at = 0; at < p->n_servers; at++)
        if (known >> at & 1 && p->servers[at].isolate_server == server->isolate_server &&
            p->servers[at].isolate & S5_ISOLATE_RULE && p->servers[at].isolate_rule == number)
            return true;
    return false;
}

/* The number of a rule is a part of the words of isolation. A rule keeps its number, and new ones get others. */
static void number_rules(struct s5_policy *p, uint32_t reused)
{
    uint32_t known = ~reused;
    for (uint32_t at = 0; at < p->n_servers; at++) {
        struct s5_server *server = &p->servers[at];
        while (!(known >> at & 1) && server->isolate & S5_ISOLATE_RULE &&
               has_number(p, known, server, server->isolate_rule))
            server->isolate_rule++;
        known |= 1u << at;
    }
}

/* --- settings --- */

static bool is_same_range(const struct s5_fake_range *a, const struct s5_fake_range *b)
{
    return a->prefix == b->prefix && memcmp(a->octets, b->octets, sizeof a->octets) == 0;
}

/* Keeps what the command line set, and what programs have already seen. */
static int keep_settings(struct merging *m, struct s5_merge *ret)
{
    struct s5_policy *p = m->ret;
    const struct s5_policy *old = m->current;
    ret->keeps_fake_range =
        !is_same_range(&p->fake_ipv4, &old->fake_ipv4) || !is_same_range(&p->fake_ipv6, &old->fake_ipv6);
    p->fake_ipv4 = old->fake_ipv4;
    p->fake_ipv6 = old->fake_ipv6;
    p->strict = old->strict;
    p->log_counts = old->log_counts;
    p->given = old->given;
    p->given_level = old->given_level;
    if (p->log_level < p->given_level)
        p->log_level = p->given_level;
    if (p->given & S5_GIVEN_JSON)
        p->log_json = true;
    if (p->given & S5_GIVEN_ENGINE) {
        p->engine = old->engine;
        p->n_programs = 0;
    }
    if (p->given & S5_GIVEN_LOG) {
        int64_t text = copy_text(m, old->log_file);
        if (text < 0)
            return -ENOSPC;
        p->log_file = (uint32_t)text;
        p->log_dev = old->log_dev;
        p->log_ino = old->log_ino;
    }
    return 0;
}

int s5_merge(struct s5_policy *ret, const struct s5_policy *next, const struct s5_policy *current,
             struct s5_merge *ret_merge)
{
    struct merging m = {.ret = ret, .next = next, .current = current};
    uint32_t reused = 0;
    memset(m.to, -1, sizeof m.to);
    memset(m.from, -1, sizeof m.from);
    match_servers(&m, true, false);
    match_servers(&m, false, false);
    match_servers(&m, false, true);
    if (place_new_servers(&m, &reused) < 0 || !s5_policy_copy(ret, next) || fill_table(&m, reused) < 0 ||
        keep_settings(&m, ret_merge) < 0)
        return -ENOSPC;
    number_rules(ret, reused);
    ret_merge->reused = reused;
    return 0;
}

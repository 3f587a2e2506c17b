/* A server that is down is left out for a while if the rule has another one. Only this bridge knows it: the cache of a
 * process tree belongs to that tree. */
#include "pick.h"
#include "journal.h"
#include <errno.h>

#define DOWN_MS 10000

static int64_t down_until[S5_POLICY_SERVERS]; /* ms; 0: not down */

static const struct s5_rule *get_rule(const struct conn *c)
{
    return &c->policy->rules[c->rule];
}

static uint8_t get_server(const struct conn *c, unsigned place)
{
    return c->policy->vias[(get_rule(c)->via_first + place) % S5_POLICY_VIAS];
}

static bool is_tried(const struct conn *c, unsigned place)
{
    return c->tried & 1u << place;
}

static unsigned count_untried(const struct conn *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < get_rule(c)->via_count; i++)
        n += !is_tried(c, i);
    return n;
}

/* Takes the first server that was not tried yet, if possible one that is not down. Returns false if none is left. */
static bool take_server(struct conn *c)
{
    int found = -1;
    for (unsigned i = 0; i < get_rule(c)->via_count; i++) {
        bool down = loop_now() < down_until[get_server(c, i)];
        if (is_tried(c, i) || (down && found >= 0))
            continue;
        found = (int)i;
        if (!down)
            break;
    }
    if (found < 0)
        return false;
    c->tried |= 1u << found;
    c->server_index = get_server(c, (unsigned)found);
    return true;
}

static void begin_choice(struct conn *c, int rule)
{
    int64_t longest = 0;
    c->rule = (int16_t)rule;
    for (unsigned i = 0; i < get_rule(c)->via_count; i++) {
        int64_t timeout = c->policy->servers[get_server(c, i)].timeout;
        longest = timeout > longest ? timeout : longest;
    }
    c->until = loop_now() + 1000 * (get_rule(c)->timeout ? get_rule(c)->timeout : longest);
    take_server(c);
    if (get_rule(c)->via_count == 1)
        c->rule = -1;
}

int pick_begin(struct conn *c)
{
    const struct front *f = &c->upstream->front;
    struct s5_flow flow = {
        .to = &f->dst,
        .protocol = f->command == S5_UDP_ASSOCIATE ? S5_PROTO_UDP : S5_PROTO_TCP,
        .command = f->command == S5_CONNECT ? S5_CMD_CONNECT
                   : f->command == S5_BIND  ? S5_CMD_BIND
                                            : S5_CMD_UDP,
    };
    struct s5_route route = s5_policy_decide(c->policy, &flow);
    /* An association has no destination, and the rules do not apply to the peer of a listener here. Both use the
     * servers of the first rule that has one. */
    if (f->command != S5_CONNECT && route.verdict != S5_VIA)
        for (unsigned i = 0; i < c->policy->n_rules; i++)
            if (c->policy->rules[i].verdict == S5_VIA) {
                route.verdict = S5_VIA;
                route.rule = (int)i;
                break;
            }
    char to[S5_ADDR_TEXT_MAX];
    if (route.verdict != S5_VIA) {
        journal(S5_LOG_ERROR, "refused: %s: %s", s5_addr_format(&f->dst, to, sizeof to),
                route.verdict == S5_DENY ? "no rule allows it" : "direct, which socks5-bridge does not support");
        return -EACCES;
    }
    if (route.rule >= 0)
        begin_choice(c, route.rule);
    else
        c->server_index = (int16_t)route.server;
    return 0;
}

bool pick_next(struct conn *c, bool down)
{
    if (c->rule < 0)
        return false;
    if (down)
        down_until[c->server_index] = loop_now() + DOWN_MS;
    if (loop_now() >= c->until || !take_server(c))
        return false;
    journal(S5_LOG_WARNING, "trying server \"%s\"", conn_server_name(c));
    return true;
}

int64_t pick_deadline(const struct conn *c)
{
    int64_t now = loop_now(), own = 1000 * (int64_t)conn_server(c)->timeout;
    int64_t share = c->rule < 0 ? own : (c->until - now) / (count_untried(c) + 1);
    return now + (share < own ? share : own);
}

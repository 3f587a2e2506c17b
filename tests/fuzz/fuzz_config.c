/* A configuration file of any content. It is read as a whole or refused with a fault of one line, and no descriptor
 * is left open. A policy that was read can be used. */
#include "isolate.h"
#include "isolation.h"
#include "load.h"

static struct s5_policy p;

static void check_text(uint32_t at)
{
    CHECK(at < p.n_text && memchr(p.text + at, 0, p.n_text - at));
}

static void check_chain(const struct s5_server *chain)
{
    CHECK(chain->hops_first + chain->n_hops <= p.n_vias && chain->timeout <= 3600);
    CHECK(chain->chain_length >= 1 && chain->chain_length <= S5_CHAIN_HOPS &&
          chain->chain_mode <= S5_CHAIN_ROUND_ROBIN);
    for (unsigned i = 0; i < chain->n_hops; i++)
        CHECK(p.vias[chain->hops_first + i] < p.n_servers && !p.servers[p.vias[chain->hops_first + i]].n_hops);
}

static void check_policy(void)
{
    CHECK(p.n_servers <= S5_POLICY_SERVERS && p.n_rules <= S5_POLICY_RULES);
    CHECK(p.n_matches <= S5_POLICY_MATCHES && p.n_ports <= S5_POLICY_PORTS);
    CHECK(p.log_level <= S5_LOG_DEBUG);
    check_text(p.log_file);
    CHECK(memchr(p.search, 0, sizeof p.search));
    for (uint32_t i = 0; i < p.n_servers; i++) {
        const struct s5_server *s = &p.servers[i];
        check_text(s->name);
        check_text(s->gssapi_service);
        if (s->n_hops) {
            check_chain(s);
            continue;
        }
        CHECK(s->host != 0 && s->port != 0 && s->timeout >= 1 && s->timeout <= 3600);
        CHECK(s->n_methods >= 1 && s->n_methods <= 3 && s->n_addrs <= 1 && s->pipeline <= 2);
        CHECK(!memchr(s->methods, 2, s->n_methods) || (s->username_len && s->password_len) || s->isolate > 1);
    }
    for (uint32_t i = 0; i < p.n_rules; i++) {
        const struct s5_rule *r = &p.rules[i];
        CHECK(r->line >= 1 && r->verdict <= S5_VIA && r->via_first + r->via_count <= p.n_vias);
        CHECK((uint32_t)r->to_first + r->to_count <= p.n_matches);
        CHECK((uint32_t)r->ports_first + r->ports_count <= p.n_ports);
        CHECK(r->verdict != S5_VIA || r->via_count > 0);
        for (unsigned n = 0; n < r->via_count; n++)
            CHECK(p.vias[r->via_first + n] < p.n_servers);
    }
}

/* The isolation of a rule is that of its server. The user name of the server is short enough for a word after it. */
static void check_isolation(void)
{
    for (uint32_t i = 0; i < p.n_servers; i++) {
        const struct s5_server *s = &p.servers[i];
        CHECK(!s->isolate || s->n_hops || (s->username_len <= 239 && s->n_methods == 1 && s->methods[0] == 2));
        CHECK(s->isolate_server <= i && s->isolate <= 14 && !(s->isolate & 1));
        CHECK(!s->isolate_rule == !(s->isolate & S5_ISOLATE_RULE) || s->isolate_server == i);
    }
    for (uint32_t i = 0; i < p.n_rules; i++)
        for (unsigned n = 0; n < p.rules[i].via_count; n++)
            CHECK(p.rules[i].isolate <= 1 || p.servers[p.vias[p.rules[i].via_first + n]].isolate == p.rules[i].isolate);
}

static void check_decision(const char *to, uint8_t protocol)
{
    struct s5_addr addr;
    CHECK(s5_addr_parse(&addr, to, strlen(to), 443) == 0);
    struct s5_flow flow = {&addr, protocol, S5_CMD_CONNECT};
    struct s5_route route = s5_policy_decide(&p, &flow);
    CHECK(route.rule < (int)p.n_rules && (route.verdict == S5_VIA) == (route.server >= 0));
    CHECK(protocol != 0 || route.verdict != S5_VIA);
}

static int get_next_fd(void)
{
    int fd = dup(0);
    CHECK(fd >= 0 && close(fd) == 0);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s5_fault fault = {""};
    load_config(&p, "", 0, "p", &fault); /* from here on its own descriptor is open */
    int before = get_next_fd(), r = load_config(&p, data, size, "p", &fault);
    CHECK(before == get_next_fd());
    CHECK(r <= 0 && (r < 0) == (fault.text[0] != 0) && !strchr(fault.text, '\n'));
    if (r < 0)
        return 0;
    check_policy();
    struct s5_environment isolated = {.isolate = size % 2 ? "rule" : NULL};
    r = s5_isolate_resolve(&p, &isolated, &fault);
    CHECK(r <= 0 && (r < 0) == (fault.text[0] != 0));
    if (r < 0)
        return 0;
    check_policy();
    check_isolation();
    check_decision("192.0.2.1", S5_PROTO_TCP);
    check_decision("::1", S5_PROTO_UDP);
    check_decision("www.example.org", 0);
    check_decision("localhost", S5_PROTO_TCP);
    return 0;
}

/* A URL of any content. The text after its first newline is NO_PROXY. The result is a complete policy, or a fault that
 * does not contain the password. */
#include "fuzz.h"
#include "policy_check.h"
#include "source.h"
#include "url.h"

static struct s5_policy p;

static void check_server(const struct s5_server *s)
{
    CHECK(s->host != 0 && s->host < p.n_text && s->port != 0 && s->n_methods == 1);
    CHECK(memchr(p.text + s->host, 0, p.n_text - s->host) && p.text[s->host]);
    CHECK(s->is_path == (p.text[s->host] == '/') && strlen(p.text + s->host) <= 255);
    CHECK(s->methods[0] == (s->username_len ? 2 : 0) && !s->username_len == !s->password_len);
}

/* Several servers are a chain, which is the last entry. */
static void check_policy(void)
{
    unsigned last = p.n_servers - 1;
    CHECK(p.n_servers >= 1 && p.n_rules >= 1 && p.n_rules <= S5_POLICY_RULES);
    CHECK(p.servers[last].n_hops == last && last <= S5_CHAIN_HOPS && s5_policy_is_sound(&p));
    for (unsigned i = 0; i < last; i++)
        CHECK(p.vias[p.servers[last].hops_first + i] == i);
    for (unsigned i = 0; i < (last ? last : 1); i++)
        check_server(&p.servers[i]);
    for (uint32_t i = 0; i < p.n_rules; i++) {
        const struct s5_rule *r = &p.rules[i];
        CHECK(r->verdict == (i + 1 < p.n_rules ? S5_DIRECT : S5_VIA));
        CHECK(i + 1 == p.n_rules || r->to_count > 0); /* an exception has destinations */
        CHECK((uint32_t)r->to_first + r->to_count <= p.n_matches);
        CHECK((uint32_t)r->ports_first + r->ports_count <= p.n_ports);
    }
}

/* A destination uses the server unless an exception covers it. */
static void check_decisions(void)
{
    struct s5_addr to = {.kind = S5_ADDR_IPV4, .port = 80, .octets = {192, 0, 2, 1}};
    struct s5_flow flow = {&to, S5_PROTO_TCP, S5_CMD_CONNECT};
    struct s5_route route = s5_policy_decide(&p, &flow);
    CHECK(route.rule >= 0 && (route.verdict == S5_VIA || (uint32_t)route.rule + 1 < p.n_rules));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct s5_environment env = {.user = NULL};
    struct s5_fault fault = {""};
    char *url = malloc(size + 1);
    CHECK(url);
    memcpy(url, data, size);
    url[size] = 0;
    char *newline = strchr(url, '\n');
    if (newline) {
        *newline = 0;
        env.no_proxy = newline + 1;
    }
    s5_policy_init(&p);
    int r = s5_url_load(&p, url, "url", &env, &fault);
    CHECK(r <= 0 && (r < 0) == (fault.text[0] != 0));
    if (r == 0) {
        check_policy();
        check_decisions();
    } else /* a fault has no part of the URL */
        CHECK(env.no_proxy || !strstr(fault.text, "secret"));
    free(url);
    return 0;
}

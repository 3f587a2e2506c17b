/* The importers: the converted configuration must load, and decide as the original program would. */
#include "import.h"
#include "source.h"
#include "config.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct s5_policy p;
static char *converted;
static unsigned n_lost;

static void convert_and_load(enum import_kind kind, const char *text)
{
    static const struct s5_environment env = {.home = "/nowhere"};
    struct s5_fault fault = {""};
    char path[32];
    free(converted);
    converted = import_convert(kind, "some.conf", text, &n_lost);
    cr_assert(converted);
    int fd = memfd_create("config", MFD_CLOEXEC);
    size_t size = strlen(converted);
    cr_assert(fd >= 0 && fchmod(fd, 0600) == 0);
    cr_assert(write(fd, converted, size) == (ssize_t)size);
    s5_format(path, sizeof path, "/proc/self/fd/%d", fd);
    s5_policy_init(&p);
    cr_assert(s5_config_load(&p, path, &env, &fault) == 0, "%s\n%s", fault.text, converted);
    close(fd);
}

/* Returns "direct", "deny", "HOST:PORT" or the title of a chain. */
static const char *decide_route(const char *to, uint16_t port, uint8_t protocol, uint8_t command)
{
    static char text[300];
    struct s5_addr addr;
    cr_assert(s5_addr_parse(&addr, to, strlen(to), port) == 0);
    struct s5_flow flow = {&addr, protocol, command};
    struct s5_route route = s5_policy_decide(&p, &flow);
    if (route.verdict != S5_VIA)
        return route.verdict == S5_DIRECT ? "direct" : "deny";
    const struct s5_server *server = &p.servers[route.server];
    if (server->n_hops)
        return s5_policy_text(&p, server->name);
    s5_format(text, sizeof text, "%s:%d", s5_policy_text(&p, server->host), (int)server->port);
    return text;
}

static void expect_route(const char *to, uint16_t port, const char *expected)
{
    const char *is = decide_route(to, port, S5_PROTO_TCP, S5_CMD_CONNECT);
    cr_assert_str_eq(is, expected, "%s:%d goes %s\n%s", to, port, is, converted);
}

static void expect_text(const char *text)
{
    cr_assert(strstr(converted, text), "no \"%s\" in\n%s", text, converted);
}

/* ---- proxychains ---- */

Test(import, proxychains_one_server)
{
    convert_and_load(IMPORT_PROXYCHAINS,
                     "# comment\nstrict_chain\nquiet_mode\nproxy_dns\nremote_dns_subnet 224\n"
                     "tcp_read_time_out 15000\nlocalnet 10.1.2.3/255.0.0.0\nlocalnet 0.0.0.0:25/0.0.0.0\n"
                     "localnet [fd00::1]:80/8\nlocalnet 192.168.0.0/16\n\n[ProxyList]\n"
                     "socks5\t192.0.2.1 1085 al'ice s#cre\\t\n");
    cr_assert(n_lost == 0, "%s", converted);
    expect_route("198.51.100.1", 80, "192.0.2.1:1085");
    expect_route("www.example.org", 80, "192.0.2.1:1085");
    expect_route("10.9.9.9", 80, "direct");
    expect_route("192.168.3.4", 80, "direct");
    expect_route("198.51.100.1", 25, "direct");
    expect_route("fd12::1", 80, "direct");
    expect_route("fd12::1", 81, "192.0.2.1:1085");
    cr_assert(!p.resolve_local && p.servers[0].n_methods == 1 && p.servers[0].methods[0] == 2);
    cr_assert(p.servers[0].password_len == 7 && memcmp(p.servers[0].password, "s#cre\\t", 7) == 0);
    cr_assert(memcmp(p.servers[0].username, "al'ice", p.servers[0].username_len) == 0);
    expect_text("mode 0600");
}

Test(import, proxychains_chains)
{
    static const char list[] = "[ProxyList]\nsocks5 192.0.2.1 1080\nsocks5 192.0.2.2 1080 u p\nsocks5 192.0.2.3 80\n";
    static const struct {
        const char *kind;
        uint8_t mode, length;
    } cases[] = {{"strict_chain", S5_CHAIN_STRICT, 3},
                 {"dynamic_chain", S5_CHAIN_DYNAMIC, 3},
                 {"random_chain\nchain_len = 2", S5_CHAIN_RANDOM, 2},
                 {"random_chain", S5_CHAIN_RANDOM, 1},
                 {"round_robin_chain\nchain_len=3", S5_CHAIN_ROUND_ROBIN, 3}};
    char text[256];
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        s5_format(text, sizeof text, "%s\n%s", cases[i].kind, list);
        convert_and_load(IMPORT_PROXYCHAINS, text);
        expect_route("198.51.100.1", 80, "list");
        cr_assert(n_lost == 0 && p.n_servers == 4 && p.resolve_local);
        const struct s5_server *chain = &p.servers[3];
        cr_assert_eq(chain->n_hops, 3);
        cr_expect_arr_eq(p.vias + chain->hops_first, ((uint8_t[]){0, 1, 2}), 3);
        cr_expect(chain->chain_mode == cases[i].mode && chain->chain_length == cases[i].length, "%s", cases[i].kind);
    }
}

Test(import, proxychains_chains_that_have_no_equivalent)
{
    static const char *const texts[] = {
        "strict_chain\n[ProxyList]\nsocks5 192.0.2.1 1080\nsocks4 192.0.2.2 1080\n",
        "dynamic_chain\n[ProxyList]\nhttp 192.0.2.1 1080\nsocks5 192.0.2.2 1080\n",
        "random_chain\nchain_len = 3\n[ProxyList]\nsocks5 192.0.2.1 1080\nsocks5 192.0.2.2 1080\n",
        "random_chain\nchain_len = 0\n[ProxyList]\nsocks5 192.0.2.1 1080\nsocks5 192.0.2.2 1080\n"};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        convert_and_load(IMPORT_PROXYCHAINS, texts[i]);
        expect_route("198.51.100.1", 80, "deny");
        cr_assert(n_lost > 0);
    }
}

Test(import, proxychains_other_servers)
{
    convert_and_load(IMPORT_PROXYCHAINS, "[ProxyList]\nsocks4 127.0.0.1 9050\n");
    expect_route("198.51.100.1", 80, "deny");
    expect_text("# NO EQUIVALENT: line 2: socks4");
    convert_and_load(IMPORT_PROXYCHAINS, "[ProxyList]\nsocks5 127.0.0.1 99999\nsocks5 /x 1\n");
    expect_route("198.51.100.1", 80, "deny");
    convert_and_load(IMPORT_PROXYCHAINS, "dnat 1.2.3.4 5.6.7.8\n");
    expect_text("NO EQUIVALENT: line 1: dnat");
}

/* ---- Dante ---- */

Test(import, dante_routes)
{
    convert_and_load(IMPORT_DANTE,
                     "debug: 1 # comment {\nlogoutput: stdout\nresolveprotocol: fake\n"
                     "route {\n  from: 0.0.0.0/0  to: 10.0.0.0/8   via: direct\n"
                     "  command: connect udpassociate # bind\n}\n"
                     "route { from:0/0 to: .intra.example port = 80-90 via: 192.0.2.9 port=1081\n"
                     "  proxyprotocol: socks_v4 socks_v5 method: none\n  protocol: tcp }\n"
                     "route { from: 0/0 to: 198.51.100.0/255.255.255.0 port gt 1023 via: direct }\n"
                     "route { from: 0.0.0.0/0 to: 0.0.0.0/0 via: proxy.example port = 1080\n"
                     "  protocol: tcp udp proxyprotocol: socks_v5 method: username none }\n");
    cr_assert(n_lost == 0, "%s", converted);
    expect_route("10.1.2.3", 80, "direct");
    expect_route("www.intra.example", 85, "192.0.2.9:1081");
    expect_route("www.intra.example", 91, "proxy.example:1080");
    expect_route("198.51.100.7", 1024, "direct");
    expect_route("198.51.100.7", 1023, "proxy.example:1080");
    expect_route("2001:db8::1", 22, "proxy.example:1080");
    cr_assert(!p.resolve_local && p.n_servers == 2);
    convert_and_load(IMPORT_DANTE, "route { from: 0/0 to: 0/0 via: 192.0.2.1 method: gssapi none }");
    expect_route("10.1.2.3", 80, "192.0.2.1:1080");
    cr_assert(p.resolve_local && p.servers[0].methods[0] == 1 && p.servers[0].n_methods == 2);
}

/* Returns the hosts of the servers for TO, in their order. */
static const char *list_servers(const char *to, uint8_t protocol)
{
    static char text[300];
    struct s5_addr addr;
    size_t n = 0;
    text[0] = 0;
    cr_assert(s5_addr_parse(&addr, to, strlen(to), 80) == 0);
    struct s5_flow flow = {&addr, protocol, protocol == S5_PROTO_TCP ? S5_CMD_CONNECT : S5_CMD_UDP};
    struct s5_route route = s5_policy_decide(&p, &flow);
    cr_assert(route.verdict == S5_VIA && route.rule >= 0, "%s\n%s", to, converted);
    const struct s5_rule *rule = &p.rules[route.rule];
    for (unsigned i = 0; i < rule->via_count; i++)
        n += (size_t)s5_format(text + n, sizeof text - n, " %s",
                               s5_policy_text(&p, p.servers[p.vias[rule->via_first + i]].host));
    return text;
}

/* Dante uses the next route that matches if the server of the first one fails. */
Test(import, dante_routes_for_the_same_destinations)
{
    convert_and_load(IMPORT_DANTE, "route { from: 0/0 to: 10.0.0.0/8 via: a.example method: none }\n"
                                   "route { from: 0/0 to: 10.0.0.0/8 via: b.example method: none }\n"
                                   "route { from: 0/0 to: 0/0 protocol: tcp via: c.example }\n"
                                   "route { from: 0/0 to: 0/0 protocol: udp via: a.example }\n"
                                   "route { from: 0/0 to: 0.0.0.0/0 protocol: tcp via: d.example }\n"
                                   "route { from: 0/0 to: 0/0 protocol: udp via: d.example }\n"
                                   "route { from: 0/0 to: 0/0 protocol: tcp via: c.example }\n");
    cr_assert(n_lost == 0 && p.n_rules == 3, "%s", converted);
    cr_assert_str_eq(list_servers("10.1.1.1", S5_PROTO_TCP), " a.example b.example");
    cr_assert_str_eq(list_servers("192.0.2.1", S5_PROTO_TCP), " c.example d.example");
    cr_assert_str_eq(list_servers("192.0.2.1", S5_PROTO_UDP), " a.example d.example");
    expect_text("# line 2: one more server for what line 1 matches\n");
    expect_text("# line 7: one more server for what line 3 matches\n");
    /* No connection becomes direct because a server failed. */
    convert_and_load(IMPORT_DANTE, "route { from: 0/0 to: 0/0 via: a.example }\n"
                                   "route { from: 0/0 to: 0/0 via: direct }\n");
    cr_assert(n_lost == 1 && p.n_rules == 1, "%s", converted);
    cr_assert_str_eq(list_servers("192.0.2.1", S5_PROTO_TCP), " a.example");
    expect_text("NO EQUIVALENT: line 2: route: direct where the servers for line 1 fail");
    /* The first route decides what the second one is. */
    convert_and_load(IMPORT_DANTE, "route { from: 0/0 to: 0/0 via: direct }\n"
                                   "route { from: 0/0 to: 0/0 via: a.example }\n");
    expect_route("192.0.2.1", 80, "direct");
    convert_and_load(IMPORT_DANTE, "route { from: 0/0 to: 10.0.0.0/8 proxyprotocol: socks_v4 via: a.example }\n"
                                   "route { from: 0/0 to: 10.0.0.0/8 via: b.example }\n");
    expect_route("10.1.1.1", 80, "deny");
}

/* A route that cannot be converted must never allow a direct connection that may have been meant for a server. */
Test(import, dante_closed)
{
    static const char *const routes[] = {
        "route { from: 10.0.0.0/8 to: 0/0 via: 192.0.2.1 }",
        "route { from: 0/0 to: 0/0 port = http via: 192.0.2.1 }",
        "route { from: 0/0 to: 10.0.0.0/255.0.255.0 via: 192.0.2.1 }",
        "route { from: 0/0 to: 0/0 via: 192.0.2.1 proxyprotocol: socks_v4 }",
        "route { from: 0/0 to: 0/0 via: eth0/0 }",
        "route { from: 0/0 to: 0/0 protocol: sctp tcp via: 192.0.2.1 }",
        "route { from: 0/0 to: 0/0 }",
        "route { { from: 0/0 via: direct",
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        char text[512];
        s5_format(text, sizeof text, "%s\nroute { from: 0/0 to: 0/0 via: direct }", routes[i]);
        convert_and_load(IMPORT_DANTE, text);
        expect_route("198.51.100.7", 80, "deny");
        cr_assert(n_lost >= 1);
    }
    convert_and_load(IMPORT_DANTE, "socks pass { from: 0/0 to: 0/0 }\n");
    expect_text("a block that is not a route");
    expect_route("198.51.100.7", 80, "deny");
}

/* ---- torsocks ---- */

Test(import, torsocks_defaults)
{
    convert_and_load(IMPORT_TORSOCKS, "# nothing\n");
    expect_route("www.example.org", 443, "127.0.0.1:9050");
    expect_route("127.0.0.1", 80, "deny");
    expect_route("localhost", 80, "deny");
    cr_assert_str_eq(decide_route("192.0.2.1", 53, S5_PROTO_UDP, S5_CMD_UDP), "deny");
    cr_assert_str_eq(decide_route("192.0.2.1", 53, S5_PROTO_TCP, S5_CMD_BIND), "deny");
    cr_assert(!p.resolve_local && n_lost == 0);
}

Test(import, torsocks_switches)
{
    convert_and_load(IMPORT_TORSOCKS,
                     "TorAddress 192.0.2.1\nTorPort 9150\nAllowInbound 1\nAllowOutboundLocalhost 1\n"
                     "OnionAddrRange 127.42.42.0/24\nSOCKS5Username a\nSOCKS5Password b\nEnableIPv6 0\n"
                     "IsolatePID 1\nWhat ever\n");
    expect_route("www.example.org", 443, "192.0.2.1:9150");
    expect_route("127.0.0.1", 80, "direct");
    expect_route("2001:db8::1", 80, "deny");
    cr_assert_str_eq(decide_route("127.0.0.1", 53, S5_PROTO_UDP, S5_CMD_UDP), "deny");
    cr_assert_str_eq(decide_route("192.0.2.7", 53, S5_PROTO_TCP, S5_CMD_BIND), "direct");
    cr_assert(n_lost == 1 && p.servers[0].username_len == 1);
    cr_assert_eq(p.servers[0].isolate, S5_ISOLATE_PROCESS);
    expect_text("line 10: What");
}

/* ---- tsocks ---- */

Test(import, tsocks_paths)
{
    convert_and_load(IMPORT_TSOCKS, "path {\n  reaches = 150.0.0.0/255.255.0.0\n"
                           "reaches = 150.1.0.0:80-1024/255.255.0.0\n  server = 192.0.2.7\n"
                           "  server_type = 5\n  default_user = u\n  default_pass = p=q\n}\n"
                           "local = 150.0.9.0/255.255.255.0\nserver = 192.0.2.1\nserver_type = 5\n"
                           "server_port=1099\n");
    cr_assert(n_lost == 0, "%s", converted);
    expect_route("150.0.1.1", 9, "192.0.2.7:1080");
    expect_route("150.0.9.1", 9, "direct");
    expect_route("150.1.1.1", 81, "192.0.2.7:1080");
    expect_route("150.1.1.1", 79, "192.0.2.1:1099");
    expect_route("198.51.100.1", 79, "192.0.2.1:1099");
    cr_assert(p.resolve_local);
    cr_assert(p.servers[0].password_len == 3 && memcmp(p.servers[0].password, "p=q", 3) == 0);
}

Test(import, tsocks_left_out)
{
    convert_and_load(IMPORT_TSOCKS, "server = 192.0.2.1\nfallback = yes\n");
    expect_text("192.0.2.1: a SOCKS4 server");
    expect_text("line 2: fallback");
    convert_and_load(IMPORT_TSOCKS, "path {\nreaches = 150.0.0.0/255.255.0.0\n}\nnonsense\n");
    expect_route("150.0.1.1", 9, "deny");
    expect_route("198.51.100.1", 9, "deny");
}

/* ---- All ---- */

Test(import, guess)
{
    cr_assert(import_guess("/etc/proxychains4.conf", "") == IMPORT_PROXYCHAINS);
    cr_assert(import_guess("/etc/socks.conf", "") == IMPORT_DANTE);
    cr_assert(import_guess("/etc/tor/torsocks.conf", "") == IMPORT_TORSOCKS);
    cr_assert(import_guess("tsocks.conf", "") == IMPORT_TSOCKS);
    cr_assert(import_guess("/tsocks.conf/x", "a\n  [ProxyList]\n") == IMPORT_PROXYCHAINS);
    cr_assert(import_guess("x", "TorPort 9050\n") == IMPORT_TORSOCKS);
    cr_assert(import_guess("x", "\nroute {\n") == IMPORT_DANTE);
    cr_assert(import_guess("x", "server = 1\n") == IMPORT_TSOCKS);
    cr_assert(import_guess("x", "") == IMPORT_UNKNOWN);
    cr_assert_null(import_convert(IMPORT_UNKNOWN, "x", "", NULL));
}

Test(import, comments_cannot_be_escaped)
{
    char *text = import_convert(IMPORT_TORSOCKS, "evil\nrule \"x\" { via = \"direct\" }",
                                "a\rrule b\n", NULL);
    cr_assert(strchr(text, '\r') == NULL && strstr(text, "\nrule \"x\"") == NULL);
    free(text);
}

Test(import, limits)
{
    static char text[64 * 1024];
    size_t used = 0;
    for (int i = 0; i < 300; i++)
        used +=
            s5_format(text + used, sizeof text - used, "local = 10.%d.0.0/255.255.0.0\n", i % 256);
    cr_assert_null(import_convert(IMPORT_TSOCKS, "x", text, NULL));
    memset(text, 'x', sizeof text - 1); /* one long line */
    for (int kind = IMPORT_PROXYCHAINS; kind <= IMPORT_TSOCKS; kind++)
        convert_and_load((enum import_kind)kind, text);
    memset(text, 'x', sizeof text);
    s5_format(text, sizeof text, "[ProxyList]\n");
    used = strlen(text);
    for (int i = 0; i < 33; i++)
        used += s5_format(text + used, sizeof text - used, "socks5 192.0.2.%d 1080\n", i);
    cr_assert_null(import_convert(IMPORT_PROXYCHAINS, "x", text, NULL));
}

/* Theory of operation: prints the decision that the preload object makes for a connect(). If names are resolved locally
 * (resolve = "local"), the decision is about the address that a program would get and connect to, not about the
 * name. */
#include "explain.h"
#include "errors.h"
#include "plain_text.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const method_names[] = {"none", "gssapi", "userpass"};
static const char *const pipeline_names[] = {"auto", "on", "off"};

static int parse_target(struct s5_addr *ret, const char *target)
{
    const char *colon = strrchr(target, ':');
    if (!colon || colon[1] < '0' || colon[1] > '9')
        return -1;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port < 1 || port > 65535)
        return -1;
    return s5_addr_parse(ret, target, (size_t)(colon - target), (uint16_t)port);
}

/* Replaces the name in ADDR by its first address from libc. Returns false if it has none. */
static bool resolve_name(struct s5_addr *addr)
{
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(addr->name, NULL, &hints, &list) != 0)
        return false;
    uint16_t port = addr->port;
    struct s5_addr found;
    bool ok = s5_addr_from_sockaddr(&found, list->ai_addr, list->ai_addrlen) == 0;
    freeaddrinfo(list);
    if (!ok)
        return false;
    *addr = found;
    addr->port = port;
    return true;
}

static void print_titled(const char *before, const char *text, const char *after)
{
    fputs(before, stdout);
    plain_text_print(stdout, text);
    fputs(after, stdout);
}

static void print_rule(const struct s5_policy *p, const struct s5_route *route)
{
    if (route->rule >= 0) {
        const struct s5_rule *rule = &p->rules[route->rule];
        print_titled("rule: \"", s5_policy_text(p, rule->name), "\", ");
        plain_text_print(stdout, s5_policy_text(p, p->source));
        if (rule->line > 0)
            printf(":%u", (unsigned)rule->line);
        printf("\n");
    } else if (route->why == S5_WHY_LOOPBACK) {
        printf("rule: none, loopback is direct unless a rule names it\n");
    } else {
        printf("rule: none, what no rule matches is denied\n");
    }
}

static void print_addresses(const struct s5_server *server)
{
    for (size_t i = 0; i < server->n_addrs; i++) {
        char text[INET6_ADDRSTRLEN];
        int family = server->addrs[i].kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6;
        inet_ntop(family, server->addrs[i].octets, text, sizeof(text));
        printf("%s%s", i > 0 ? " " : "", text);
    }
}

static void print_isolation(const struct s5_server *server)
{
    static const char *const names[] = {"none", "process", "destination", "rule"};
    const char *between = "\nisolated by: ";
    for (unsigned i = 1; i < 4; i++) {
        if (server->isolate >> i & 1) {
            printf("%s%s", between, names[i]);
            between = ", ";
        }
    }
}

static void print_chain(const struct s5_policy *p, const struct s5_server *chain)
{
    static const char *const modes[] = {"strict", "dynamic", "random", "round-robin"};
    printf("chain: ");
    for (unsigned i = 0; i < chain->n_hops; i++) {
        const struct s5_server *hop = &p->servers[p->vias[chain->hops_first + i]];
        print_titled(i > 0 ? ", \"" : "\"", s5_policy_text(p, hop->name), "\"");
    }
    printf("\nmode: %s", modes[chain->chain_mode]);
    if (chain->chain_mode >= S5_CHAIN_RANDOM)
        printf("\nlength: %u", chain->chain_length);
    printf("\n");
}

static void print_server(const struct s5_policy *p, const struct s5_server *server)
{
    if (server->n_hops > 0) {
        print_chain(p, server);
        for (unsigned i = 0; i < server->n_hops; i++)
            print_server(p, &p->servers[p->vias[server->hops_first + i]]);
        return;
    }
    const char *host = s5_policy_text(p, server->host);
    if (server->is_path) {
        print_titled("server: ", host, "\n");
    } else {
        bool bare_v6 = strchr(host, ':') && host[0] != '[';
        printf(bare_v6 ? "server: [%s]:%u\n" : "server: %s:%u\n", host, server->port);
        if (server->n_addrs > 0) { /* not those of servers that are reached through others */
            printf("addresses: ");
            print_addresses(server);
            printf("\n");
        }
    }
    printf("methods:");
    for (size_t i = 0; i < server->n_methods; i++) {
        uint8_t method = server->methods[i];
        printf(" %s", method < 3 ? method_names[method] : "?");
    }
    print_isolation(server);
    printf("\npipeline: %s\n", server->pipeline < 3 ? pipeline_names[server->pipeline] : "?");
}

const char *explain_order(const struct s5_rule *rule)
{
    static const char *const picks[] = {"in this order", "in random order", "in turn", "the same for each host"};
    return picks[rule->pick <= S5_PICK_STICKY ? rule->pick : 0];
}

/* Prints which of several servers of RULE are tried after the first one, and how the first one is chosen. */
static void print_others(const struct s5_policy *p, const struct s5_rule *rule)
{
    if (rule->via_count < 2)
        return;
    for (unsigned i = 1; i < rule->via_count; i++)
        print_titled(i + 1 < rule->via_count ? ", \"" : " or \"",
                     s5_policy_text(p, p->servers[p->vias[rule->via_first + i]].name), "\"");
    printf(", %s", explain_order(rule));
}

/* Prints the engines that are not chosen automatically. */
static void print_engines(const struct s5_policy *p)
{
    static const char *const names[] = {"auto", "preload", "namespace"};
    if (p->strict)
        printf("engine: namespace, strict\n");
    else if (p->engine != S5_ENGINE_AUTO)
        printf("engine: %s\n", names[p->engine]);
    for (unsigned i = 0; !p->strict && i < p->n_programs; i++) {
        print_titled("engine of ", s5_policy_text(p, p->programs[i].name), ": ");
        printf("%s\n", names[p->programs[i].engine]);
    }
}

/* Whether a connection to TO stays in the namespace. */
static bool stays_inside(const struct s5_policy *p, const struct s5_addr *to)
{
    return (p->strict || (p->engine == S5_ENGINE_NAMESPACE && p->no_loopback_out)) && s5_addr_is_loopback(to);
}

int explain(const struct s5_policy *policy, const char *target)
{
    struct s5_addr to;
    if (parse_target(&to, target) < 0)
        return errors_fail(EXIT_OWN_ERROR, "--explain: not HOST:PORT: %s", target);
    if (to.kind == S5_ADDR_NAME && policy->resolve_local) {
        if (!resolve_name(&to))
            return errors_fail(EXIT_OWN_ERROR, "--explain: cannot resolve %s", target);
        char text[S5_ADDR_TEXT_MAX];
        printf("resolved: %s\n", s5_addr_format(&to, text, sizeof(text)));
    }
    if (s5_policy_complete(policy, &to))
        printf("name: %s\n", to.name);
    print_engines(policy);
    if (stays_inside(policy, &to)) {
        printf("verdict: loopback of the namespace\n");
        return 0;
    }
    struct s5_flow flow = {.to = &to, .protocol = S5_PROTO_TCP, .command = S5_CMD_CONNECT};
    struct s5_route route = s5_policy_decide(policy, &flow);
    print_rule(policy, &route);
    if (route.verdict == S5_DENY) {
        printf("verdict: denied\n");
        return 1;
    }
    if (route.verdict == S5_DIRECT) {
        printf("verdict: direct\n");
        return 0;
    }
    const struct s5_server *server = &policy->servers[route.server];
    print_titled("verdict: via \"", s5_policy_text(policy, server->name), "\"");
    if (route.rule >= 0)
        print_others(policy, &policy->rules[route.rule]);
    printf("\n");
    print_server(policy, server);
    return 0;
}

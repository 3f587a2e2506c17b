/* Theory of operation: the engine is that of the drop-in functions, so rules, names, isolation and log lines are the
 * same as for a program that the preload object covers.
 *
 * A program in the namespace may be covered, too. Its engine then connects to the SOCKS5 server by itself, so a
 * connection to a server of the policy, or to the bridge in front of one, is direct. */
#define SOCKS5CLIENT_NO_MACROS
#include "outside.h"
#include "association.h"
#include "begin.h"
#include "bridge.h"
#include "commands_log.h"
#include "forward.h"
#include "names.h"
#include "owner.h"
#include "resolve.h"
#include "rules.h"
#include "socks5client/socks.h"
#include "word_reader.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DNS_PORT 53

static struct s5_engine *engine;
static bool loopback_is_outside, strict;

void outside_begin(struct handover *h)
{
    s5_begin_engine.others = &owner_others;
    engine = s5_begin();
    loopback_is_outside = h->flags & HANDOVER_LOOPBACK_OUT;
    strict = h->flags & HANDOVER_STRICT;
    const struct s5_policy *p = s5_engine_load(engine);
    commands_log_begin(&engine->log, p, h);
    owner_begin(engine, h);
    if (!p)
        s5_log(&engine->log, S5_LOG_ERROR, "refused: %s", engine->fault.text);
}

static bool has_address(const struct s5_server *server, const struct s5_addr *to)
{
    unsigned n = __atomic_load_n(&server->n_addrs, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < n; i++)
        if (server->addrs[i].kind == to->kind &&
            memcmp(server->addrs[i].octets, to->octets, to->kind == S5_ADDR_IPV4 ? 4 : 16) == 0)
            return true;
    return false;
}

/* Whether TO is a SOCKS5 server of the policy, or the bridge. In a strict namespace nothing has an engine. */
static bool is_server(const struct s5_addr *to)
{
    if (strict)
        return false;
    const struct s5_shm *shm = atomic_load(&engine->shm);
    if (shm && shm->bridge.port && shm->bridge.port == to->port && s5_addr_is_loopback(to))
        return true;
    const struct s5_policy *p = engine->policy;
    for (unsigned i = 0; i < p->n_servers; i++) {
        const struct s5_server *server = &p->servers[i];
        if (!s5_bridge_fronts(server) && server->port == to->port && has_address(server, to))
            return true;
    }
    return false;
}

static int get_address(struct s5_addr *ret, const struct s5_endpoint *to)
{
    return s5_addr_from_sockaddr(ret, &to->any, to->len);
}

/* The errno with which an address cannot be connected to; 0: it can. */
static int refuse_address(const struct s5_addr *to, bool server)
{
    if (!s5_addr_is_loopback(to) || server)
        return 0;
    return !loopback_is_outside || forward_has(to->port) ? ECONNREFUSED : 0;
}

struct dns_search {
    bool server; /* the line is one of a name server */
    struct s5_endpoint *ret;
};

static bool take_word(void *user, unsigned at, const char *word, size_t len)
{
    struct dns_search *s = user;
    struct s5_addr addr;
    return s5_word_reader_follows(&s->server, "nameserver", at, word, len) &&
           s5_addr_parse(&addr, word, len, DNS_PORT) == 0 && addr.kind == S5_ADDR_IPV4 &&
           s5_endpoint_of(&addr, AF_INET, s->ret) == 0;
}

bool outside_find_dns(struct s5_endpoint *to)
{
    struct dns_search s = {false, to};
    if (to->any.sa_family != AF_INET || to->v4.sin_port != htons(DNS_PORT) ||
        to->v4.sin_addr.s_addr != inet_addr(RULES_DNS4))
        return false;
    if (!s5_word_reader_each("/etc/resolv.conf", take_word, &s))
        to->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return true;
}

int outside_connect(const struct s5_endpoint *wanted, int *ret_fd)
{
    struct s5_endpoint at = *wanted, *to = &at;
    struct s5_addr addr;
    bool dns = outside_find_dns(to);
    if (!s5_engine_load(engine)) /* the newest one, if there was a reload */
        return -EACCES;
    if (get_address(&addr, to) < 0)
        return -EAFNOSUPPORT;
    bool server = is_server(&addr);
    int error = dns ? 0 : refuse_address(&addr, server);
    if (error)
        return -error;
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = (server ? connect(fd, &to->any, to->len) : Rconnect(fd, &to->any, to->len)) < 0 ? -errno : 0;
    if (result < 0 && result != -EINPROGRESS)
        Rclose(fd);
    *ret_fd = fd;
    return result;
}

bool outside_permits(const struct s5_endpoint *to)
{
    struct s5_addr addr;
    return s5_engine_load(engine) && get_address(&addr, to) == 0 && !refuse_address(&addr, false);
}

bool outside_sends_at_once(int fd, const struct s5_endpoint *to, bool check)
{
    struct s5_addr addr;
    if (get_address(&addr, to) < 0 || addr.port == DNS_PORT)
        return true;
    if (s5_association_of(engine, fd))
        return !check || !s5_association_waits(engine, fd);
    if (s5_names_find(engine, &addr) != 0) /* a name: where its route is direct, the system's resolver is asked */
        return false;
    struct s5_flow flow = {&addr, S5_PROTO_UDP, S5_CMD_UDP};
    return s5_policy_decide(engine->policy, &flow).verdict != S5_VIA;
}

void outside_resolve_servers(void)
{
    for (unsigned i = 0; engine->policy && i < engine->policy->n_servers; i++)
        if (!s5_bridge_fronts(&engine->policy->servers[i]) && s5_policy_connects_to(engine->policy, i))
            s5_resolve_server(engine, &engine->policy->servers[i], S5_LOG_ERROR);
}

/* Theory of operation: each check is a request on a connection of its own. It is not a failure if the server refuses
 * one, because there are servers in use that support only CONNECT. */
#include "check_extras.h"
#include "check.h"
#include "check_server.h"

#include "bytes.h"
#include "client.h"
#include "endpoint.h"
#include "error.h"
#include "wire.h"
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Requests a CONNECT to DST and reports the row CHECK. The REP shows whether the server understood the destination: if
 * bit REP of YES is set (succeeded, refused by the destination, ...), it did; if bit REP of NO is set, it did not; any
 * other REP leaves it open. */
static void check_connect(struct check *c, const char *check, const struct s5_addr *dst, unsigned yes, unsigned no,
                          const char *advice)
{
    struct socks_client t = {.fd = -1};
    char to[S5_ADDR_TEXT_MAX];
    struct s5_session_setup setup = check_setup(c, S5_CONNECT, dst);
    int result = check_ask(c, &setup, CHECK_REPLY_MS, &t);
    s5_addr_format(dst, to, sizeof(to));
    unsigned rep = !t.link.session.have_rep ? 0 : t.link.session.rep < 16 ? 1u << t.link.session.rep : 0;
    enum finding finding = rep & yes ? FINDING_OK : rep & no ? FINDING_NO : FINDING_UNKNOWN;
    report_row(c->report, check, finding, finding == FINDING_OK ? NULL : advice, "%s: %s", to,
               check_result_text(&t, result));
    socks_client_end(&t);
}

#define REP(n) (1u << (n))

/* A name with a failed connection (REP 3 or 5) was resolved, too. */
static void check_names(struct check *c)
{
    struct s5_addr name = c->target;
    if (name.kind != S5_ADDR_NAME)
        s5_addr_parse(&name, "localhost", 9, c->target.port);
    check_connect(c, "names", &name, REP(0) | REP(3) | REP(5), REP(8),
                  "if the server does not resolve names, resolve them locally: socks5://, or resolve = \"local\"");
}

static void check_ipv6(struct check *c)
{
    struct s5_addr six = c->target;
    for (unsigned i = 0; i < c->server->n_addrs && six.kind != S5_ADDR_IPV6; i++) {
        if (c->server->addrs[i].kind == S5_ADDR_IPV6)
            s5_addr_from_octets(&six, c->server->addrs[i].octets, 16, c->server->port);
    }
    bool known = six.kind == S5_ADDR_IPV6;
    if (!known) /* a server with IPv6 may refuse this address, too */
        s5_addr_parse(&six, "::1", 3, c->target.port);
    check_connect(c, "ipv6", &six, REP(0) | REP(5), known ? REP(3) | REP(4) | REP(8) : REP(8),
                  known ? "the server may have no IPv6" : "name an IPv6 destination with --target to be sure");
}

static void check_bind(struct check *c)
{
    struct socks_client t = {.fd = -1};
    char at[S5_ADDR_TEXT_MAX];
    struct s5_session_setup setup = check_setup(c, S5_BIND, &c->target);
    int result = check_ask(c, &setup, CHECK_REPLY_MS, &t);
    if (result == 0)
        report_row(c->report, "bind", FINDING_OK, NULL, "listens at %s",
                   s5_addr_format(s5_session_bound(&t.link.session), at, sizeof(at)));
    else
        report_row(c->report, "bind", result == -ETIMEDOUT ? FINDING_UNKNOWN : FINDING_NO,
                   "programs cannot listen through this server (active FTP)", "%s", check_result_text(&t, result));
    socks_client_end(&t);
}

/* ---- UDP ---- */

/* A query that every name server can answer: the name servers of the root. */
static const uint8_t question[] = {0x53, 0x35, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1};

/* Sends the query by RELAY to DST, up to three times, until a datagram arrives at HEARD. Returns false if none does. */
static bool exchange_datagrams(int relay, int heard, const struct s5_addr *dst)
{
    uint8_t out[300 + sizeof(question)], in[2048];
    struct s5_writer w = s5_writer_init(out, sizeof(out));
    s5_write_u16(&w, 0);
    s5_write_u8(&w, 0);
    s5_wire_write_address(&w, dst);
    s5_write_octets(&w, question, sizeof(question));
    for (int tries = 0; tries < 3; tries++) {
        if (send(relay, out, w.used, MSG_NOSIGNAL) < 0)
            return false;
        if (s5_client_await(heard, POLLIN, socks_client_until(CHECK_DATAGRAM_MS)) == 0 &&
            recv(heard, in, sizeof(in), MSG_DONTWAIT) > 0)
            return true;
    }
    return false;
}

/* Opens a datagram socket at the local address of T, and stores its address in RET_DST. Returns the descriptor, or
 * -errno. */
static int listen_here(const struct socks_client *t, struct s5_addr *ret_dst)
{
    struct sockaddr_storage own = t->own;
    socklen_t len = sizeof(own);
    s5_endpoint_set_port((struct sockaddr *)&own, 0);
    int fd = socket(own.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&own, len) < 0 || getsockname(fd, (struct sockaddr *)&own, &len) < 0 ||
        s5_addr_from_sockaddr(ret_dst, (struct sockaddr *)&own, len) < 0) {
        close(fd);
        return -EADDRNOTAVAIL;
    }
    return fd;
}

static void report_udp(struct check *c, bool arrived, const char *relay)
{
    char to[S5_ADDR_TEXT_MAX];
    s5_addr_format(&c->target, to, sizeof(to));
    if (arrived)
        report_row(c->report, "udp", FINDING_OK, NULL, "relay at %s; a datagram went %s%s", relay,
                   c->own_target ? "there and back: " : "through it", c->own_target ? to : "");
    else if (c->own_target)
        report_row(c->report, "udp", FINDING_UNKNOWN,
                   "name a destination that answers datagrams, such as port 53 of a DNS server",
                   "relay at %s; no answer from %s", relay, to);
    else
        report_row(c->report, "udp", FINDING_UNKNOWN, "try --target with the address of a DNS server and port 53",
                   "relay at %s; a datagram to this machine did not arrive (NAT, a firewall?)", relay);
}

static void check_relay(struct check *c, const struct socks_client *t)
{
    struct sockaddr_storage sa;
    socklen_t len;
    char at[S5_ADDR_TEXT_MAX];
    char why[S5_UDP_RELAY_WHY];
    const struct s5_addr *bound = s5_session_bound(&t->link.session);
    struct s5_addr dst = c->target;
    int error = s5_client_relay(c->policy, c->server, t->fd, bound, AF_UNSPEC, &sa, &len, why), here = -1;
    int fd = error < 0 ? error : socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !c->own_target)
        here = listen_here(t, &dst);
    bool ready = fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) == 0;
    s5_addr_format(bound, at, sizeof(at));
    if (ready)
        report_udp(c, exchange_datagrams(fd, here >= 0 ? here : fd, &dst), at);
    else if (error < 0)
        report_row(c->report, "udp", FINDING_NO,
                   "try udp-relay = \"server\"; UDP fails without a relay that can be used", "relay at %s: refused: %s",
                   at, why);
    else
        report_row(c->report, "udp", FINDING_UNKNOWN, "the server returned a relay address that cannot be used",
                   "relay at %s: sending failed", at);
    if (fd >= 0)
        close(fd);
    if (here >= 0)
        close(here);
}

static void check_udp(struct check *c)
{
    struct socks_client t = {.fd = -1};
    struct s5_addr any = {.kind = S5_ADDR_NONE};
    if (!c->server->is_path && c->server->addrs[c->address].kind == S5_ADDR_IPV6)
        s5_addr_parse(&any, "::", 2, 0); /* the address family of the datagrams */
    struct s5_session_setup setup = check_setup(c, S5_UDP_ASSOCIATE, &any);
    int result = check_ask(c, &setup, CHECK_REPLY_MS, &t);
    char at[S5_ADDR_TEXT_MAX];
    if (result == 0 && s5_gss_link_level(&t.link) != S5_SEAL_CLEAR)
        report_row(c->report, "udp", FINDING_UNKNOWN, NULL, "relay at %s; datagrams are protected; not tested",
                   s5_addr_format(s5_session_bound(&t.link.session), at, sizeof(at)));
    else if (result == 0)
        check_relay(c, &t);
    else
        report_row(c->report, "udp", result == -ETIMEDOUT ? FINDING_UNKNOWN : FINDING_NO,
                   "UDP fails through this server; names still work, because the server resolves them", "%s",
                   check_result_text(&t, result));
    socks_client_end(&t);
}

/* ---- Pipelining ---- */

static void check_pipelining(struct check *c)
{
    if (c->method == S5_METHOD_GSSAPI) {
        report_row(c->report, "pipelining", FINDING_NO, NULL, "not possible with gssapi");
        return;
    }
    struct socks_client plain = {.fd = -1}, t = {.fd = -1};
    struct s5_session_setup setup = check_setup(c, S5_CONNECT, &c->target);
    setup.methods[0] = c->method;
    setup.n_methods = 1;
    int expected = check_ask(c, &setup, CHECK_REPLY_MS, &plain);
    setup.pipeline = true;
    int result = check_ask(c, &setup, SOCKS_CLIENT_GREET_MS, &t);
    bool same = result == expected && t.link.session.have_rep == plain.link.session.have_rep &&
                t.link.session.rep == plain.link.session.rep;
    if (same && t.link.session.have_rep)
        report_row(c->report, "pipelining", FINDING_OK, NULL, "pipelined, a reply after %.1f ms", t.reply_ms);
    else if (same)
        report_row(c->report, "pipelining", FINDING_UNKNOWN, NULL, "no reply with or without pipelining");
    else
        report_row(c->report, "pipelining", FINDING_NO,
                   "detected automatically; pipeline = off saves the first attempt", "pipelined: %s",
                   check_result_text(&t, result));
    socks_client_end(&plain);
    socks_client_end(&t);
}

void check_extras(struct check *c)
{
    check_names(c);
    check_ipv6(c);
    check_bind(c);
    check_udp(c);
    check_pipelining(c);
    report_row(c->report, "round-trip", FINDING_OK, NULL, "%.1f ms to the server, %.1f ms to a reply", c->reach_ms,
               c->reply_ms);
}

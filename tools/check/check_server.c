/* Theory of operation: checks what a connection through the server needs, in the order in which it is needed: reaching
 * the server, a method, authentication, CONNECT. The first failure ends the list, and what the server sent shows what
 * kind of server it is. If no target was named, the server itself is the target: any reply to that shows that it
 * works. */
#include "check_server.h"
#include "check.h"
#include "check_extras.h"

#include "error.h"
#include "gss.h"
#include "reply.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const method_names[] = {"none", "gssapi", "userpass"};

struct s5_session_setup check_setup(const struct check *c, enum s5_command command, const struct s5_addr *dst)
{
    struct s5_session_setup setup = {
        .command = command,
        .dst = dst,
        .username = c->server->username,
        .username_len = c->server->username_len,
        .password = c->server->password,
        .password_len = c->server->password_len,
    };
    for (unsigned i = 0; i < c->server->n_methods; i++)
        setup.methods[setup.n_methods++] = c->server->methods[i];
    return setup;
}

/* Makes a GSSAPI context for T according to the server's configuration. Returns 0, or -errno with the reason in
 * C->why. */
static int make_context(struct check *c, struct socks_client *t)
{
    struct s5_gss_fault fault = {""};
    struct s5_gss_target target = {
        .service = s5_policy_text(c->policy, c->server->gssapi_service),
        .host = c->server->is_path ? "localhost" : s5_policy_text(c->policy, c->server->host),
        .delegate = c->server->gssapi_delegate,
    };
    int result = s5_gss_new(&t->gss, &target, &fault);
    snprintf(c->why, sizeof(c->why), "%s", result < 0 ? fault.text : "");
    return result;
}

int check_ask(struct check *c, const struct s5_session_setup *setup, int timeout_ms, struct socks_client *t)
{
    static struct s5_gss_buffers buffers; /* one negotiation at a time */
    struct s5_gss_setup gss = {.provider = NULL};
    int result = socks_client_connect(t, c->policy, c->server, c->address, CHECK_REACH_MS);
    if (result == 0 && memchr(setup->methods, S5_METHOD_GSSAPI, setup->n_methods)) {
        result = make_context(c, t);
        gss = (struct s5_gss_setup){&s5_gss_provider, t->gss, &buffers, c->server->gssapi_protection,
                                    c->server->gssapi_nec};
    }
    return result < 0 ? result : socks_client_negotiate(t, setup, &gss, timeout_ms);
}

const char *check_result_text(const struct socks_client *t, int result)
{
    if (result == 0)
        return "succeeded";
    if (t->link.session.have_rep)
        return s5_reply_text(t->link.session.rep);
    if (result == -ECONNREFUSED)
        return "closed without a reply";
    return result == -ETIMEDOUT ? "no reply in time" : s5_error_text(result);
}

/* ---- Reaching the server ---- */

static const char *get_reach_advice(int error)
{
    switch (-error) {
    case ECONNREFUSED:
        return "nothing listens there: is the server running, and is this its port?";
    case ETIMEDOUT:
        return "a firewall may drop it, the address may be wrong, or the server is overloaded";
    case ENETUNREACH:
    case EHOSTUNREACH:
        return "this machine has no route to it";
    case ENOENT:
        return "there is no such socket: is the server running?";
    case EACCES:
    case EPERM:
        return "this user is not allowed to connect";
    default:
        return "is the address right?";
    }
}

/* Tries the addresses of KIND (S5_ADDR_NONE: the path) and reports the row NAME. Returns true when one accepts a
 * connection. Stores in RET_ANY whether there is such an address. */
static bool try_addresses(struct check *c, const char *name, uint8_t kind, bool *ret_any)
{
    struct socks_client t;
    int error = -EAFNOSUPPORT;
    unsigned n = c->server->is_path ? 1 : c->server->n_addrs;
    *ret_any = false;
    for (unsigned i = 0; i < n; i++) {
        if (!c->server->is_path && c->server->addrs[i].kind != kind)
            continue;
        *ret_any = true;
        error = socks_client_connect(&t, c->policy, c->server, i, CHECK_REACH_MS);
        if (error == 0) {
            c->address = i;
            c->reach_ms = t.reach_ms;
            socks_client_end(&t);
            report_row(c->report, name, FINDING_OK, NULL, "connected in %.1f ms", t.reach_ms);
            return true;
        }
    }
    if (*ret_any)
        report_row(c->report, name, FINDING_FAIL, get_reach_advice(error), "%s", s5_error_text(error));
    else
        report_row(c->report, name, FINDING_NO, NULL, "the server has no such address");
    return false;
}

static bool reach_server(struct check *c)
{
    bool any;
    if (c->server->is_path)
        return try_addresses(c, "reach", S5_ADDR_NONE, &any);
    bool six = try_addresses(c, "reach-ipv6", S5_ADDR_IPV6, &any);
    unsigned address = c->address;
    double ms = c->reach_ms;
    if (try_addresses(c, "reach-ipv4", S5_ADDR_IPV4, &any))
        return true;
    c->address = address;
    c->reach_ms = ms;
    return six;
}

/* ---- The kind of server ---- */

struct diagnosis {
    const char *what, *advice;
};

/* Finds out the kind of a server that sends HEAD instead of SOCKS5. Returns false if HEAD is not known. */
static bool recognize_server(const uint8_t *head, size_t n, struct diagnosis *ret)
{
    static const struct {
        const char *begins;
        size_t len;
        struct diagnosis is;
    } known[] = {
        {"HTTP/", 5, {"an HTTP server or proxy answers", "use the SOCKS port; HTTP proxies are not supported"}},
        {"SSH-", 4, {"an SSH server answers", "run ssh -D PORT to it, and use that port of this machine"}},
        {"\x15\x03", 2, {"a TLS server answers", "use a port without TLS, or a TLS tunnel (stunnel)"}},
        {"\0\x5b", 2, {"a SOCKS4 server answers", "only SOCKS5 is supported"}},
        {"220", 3, {"a mail or FTP server answers", "use the SOCKS port"}},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (n >= known[i].len && memcmp(head, known[i].begins, known[i].len) == 0) {
            *ret = known[i].is;
            return true;
        }
    }
    return false;
}

/* Finds out why the greeting was not answered as it should be. T has the octets that were received, RESULT the
 * error. */
static struct diagnosis diagnose_greeting(struct check *c, struct socks_client *t, int result)
{
    struct diagnosis is;
    struct socks_client other;
    if (t->n_head > 0 && t->fd >= 0)
        socks_client_receive(t, "", 0, CHECK_SNIFF_MS);
    if (recognize_server(t->head, t->n_head, &is))
        return is;
    static const char request[] = "HEAD / HTTP/1.0\r\n\r\n";
    if (t->n_head == 0 && socks_client_connect(&other, c->policy, c->server, c->address, CHECK_REACH_MS) == 0) {
        socks_client_receive(&other, request, sizeof(request) - 1, CHECK_SNIFF_MS);
        bool known = recognize_server(other.head, other.n_head, &is);
        socks_client_end(&other);
        if (known)
            return is;
    }
    if (t->n_head > 0)
        return (struct diagnosis){"the reply is not SOCKS5", "use the SOCKS port"};
    if (result == -ETIMEDOUT)
        return (struct diagnosis){"accepts the connection but sends nothing",
                                  "not a SOCKS server, one that waits for TLS, or one that hangs: check its log"};
    return (struct diagnosis){"closes the connection after the greeting",
                              "its access rules may exclude this machine, or it is not a SOCKS5 server: check its log"};
}

/* ---- Methods ---- */

/* Offers each method alone, and lists those that are accepted in RET, which has SIZE octets. */
static void list_methods(struct check *c, char *ret, size_t size)
{
    size_t used = 0;
    ret[0] = '\0';
    for (uint8_t method = 0; method < 3; method++) {
        struct socks_client t;
        if (socks_client_connect(&t, c->policy, c->server, c->address, CHECK_REACH_MS) < 0)
            continue;
        c->taken[method] = socks_client_offer(&t, method, SOCKS_CLIENT_GREET_MS) == 0;
        socks_client_end(&t);
        if (c->taken[method] && used < size)
            used += (size_t)snprintf(ret + used, size - used, "%s%s", used ? ", " : "", method_names[method]);
    }
    if (used == 0)
        snprintf(ret, size, "none of none, gssapi, userpass");
}

static const char *get_method_advice(const struct check *c)
{
    if (c->taken[S5_METHOD_USERPASS] && c->server->username_len == 0)
        return "give a username and a password: socks5h://USER:PASSWORD@..., or username and "
               "password-file";
    if (c->taken[S5_METHOD_NONE])
        return "offer it: methods = {\"none\"}, or remove the username";
    if (c->taken[S5_METHOD_GSSAPI])
        return "the server asks for Kerberos: methods = {\"gssapi\"} and a ticket (klist)";
    return "the server requires another method, or its rules exclude this user: check its log";
}

/* ---- CONNECT ---- */

static const char *get_connect_advice(const struct socks_client *t, int result)
{
    if (!t->link.session.have_rep)
        return result == -ETIMEDOUT ? "the server cannot reach the target, or hangs: check its log"
                                    : "some servers (ssh -D) close on every failure: is the target "
                                      "reachable from the server?";
    switch (t->link.session.rep) {
    case 2:
        return "the server's rules forbid it";
    case 5:
        return "the server works; nothing listens at the target";
    case 7:
        return "the server does not support CONNECT";
    case 8:
        return "the server does not support this type of address";
    default:
        return "the server works but cannot reach the target: check its network and its DNS";
    }
}

static void report_connect(struct check *c, const struct socks_client *t, int result)
{
    char to[S5_ADDR_TEXT_MAX];
    s5_addr_format(&c->target, to, sizeof(to));
    if (result == 0)
        report_row(c->report, "connect", FINDING_OK, NULL, "%s in %.1f ms", to, t->reply_ms);
    else if (c->own_target || (t->link.session.have_rep && t->link.session.rep == 7))
        report_row(c->report, "connect", FINDING_FAIL, get_connect_advice(t, result), "%s: %s", to,
                   check_result_text(t, result));
    else if (t->link.session.have_rep)
        report_row(c->report, "connect", FINDING_OK, "name a destination with --target to see more",
                   "answered; to itself (%s): %s", to, check_result_text(t, result));
    else
        report_row(c->report, "connect", FINDING_UNKNOWN, "name a destination that exists with --target",
                   "to itself (%s): %s", to, check_result_text(t, result));
}

/* ---- All checks in order ---- */

static void report_method_failure(struct check *c, struct socks_client *t, int result)
{
    char taken[64];
    if (result != -EACCES) {
        struct diagnosis is = diagnose_greeting(c, t, result);
        report_row(c->report, "method", FINDING_FAIL, is.advice, "%s", is.what);
        return;
    }
    socks_client_end(t);
    list_methods(c, taken, sizeof(taken));
    report_row(c->report, "method", FINDING_FAIL, get_method_advice(c),
               "accepts no method that is offered; it accepts %s", taken);
}

static void report_auth_failure(struct check *c, const struct socks_client *t, int result)
{
    const char *why = t->gss ? s5_gss_why(t->gss) : "";
    if (t->link.session.method == S5_METHOD_GSSAPI)
        report_row(c->report, "authentication", FINDING_FAIL,
                   "klist shows the tickets; does the server's principal begin with "
                   "gssapi-service, and its host have this name?",
                   "%s: %s", s5_gss_link_phase(&t->link), *why ? why : s5_error_text(result));
    else
        report_row(c->report, "authentication", FINDING_FAIL,
                   "is the password right, and the user known to the server?", "user and password were refused (%s)",
                   s5_error_text(result));
}

static const char *const levels[] = {"clear", "integrity", "confidentiality"};

/* Negotiates and reports the rows. Returns true if method and authentication succeeded: the server answered the
 * request, or may answer others. */
static bool check_negotiation(struct check *c, struct socks_client *t)
{
    char taken[64];
    struct s5_session_setup setup = check_setup(c, S5_CONNECT, &c->target);
    int result = check_ask(c, &setup, CHECK_REPLY_MS, t);
    const struct s5_session *s = &t->link.session;
    if (c->why[0]) {
        report_row(c->report, "method", FINDING_FAIL, "kinit gets a ticket, klist shows it",
                   "gssapi cannot be offered: %s", c->why);
        return false;
    }
    if (result < 0 && s->failed_in == S5_SESSION_METHOD) {
        report_method_failure(c, t, result);
        return false;
    }
    c->method = s->method;
    c->reply_ms = t->reply_ms;
    list_methods(c, taken, sizeof(taken));
    report_row(c->report, "method", FINDING_OK, NULL, "selects %s; accepts %s",
               s->method < 3 ? method_names[s->method] : "another", taken);
    if (result < 0 && s->failed_in == S5_SESSION_AUTH) {
        report_auth_failure(c, t, result);
        return false;
    }
    report_row(c->report, "authentication", FINDING_OK, NULL, "%s%s",
               s->method == S5_METHOD_NONE       ? "not required"
               : s->method == S5_METHOD_USERPASS ? "accepted"
                                                 : "accepted; protection: ",
               s->method == S5_METHOD_GSSAPI ? levels[s5_gss_link_level(&t->link)] : "");
    report_connect(c, t, result);
    return true;
}

void check_server(struct check *c)
{
    struct socks_client t = {.fd = -1};
    if (!reach_server(c))
        return;
    if (!c->own_target && c->server->is_path) {
        s5_addr_parse(&c->target, "127.0.0.1", 9, 1080);
    } else if (!c->own_target) {
        const struct s5_ip *ip = &c->server->addrs[c->address];
        s5_addr_from_octets(&c->target, ip->octets, ip->kind == S5_ADDR_IPV4 ? 4 : 16, c->server->port);
    }
    bool works = check_negotiation(c, &t);
    socks_client_end(&t);
    if (works)
        check_extras(c);
}

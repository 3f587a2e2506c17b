/* --check: the doctor. Each check tells what was found and what may be done about it. */
#ifndef TOOLS_CHECK_H
#define TOOLS_CHECK_H

#include "gss.h"
#include "options.h"
#include "report.h"
#include "socks_client.h"

#define CHECK_REACH_MS    10000 /* until the server takes a connection */
#define CHECK_SNIFF_MS    2000  /* for what it says when it does not speak SOCKS5 */
#define CHECK_REPLY_MS    20000 /* for a whole negotiation */
#define CHECK_DATAGRAM_MS 2000  /* for each of three datagrams */

/* A server under examination. */
struct check {
    struct report *report;
    const struct s5_policy *policy;
    struct s5_server *server;
    unsigned address;      /* the one that was reached */
    struct s5_addr target; /* where requests lead */
    bool own_target;       /* it was named by the user: not to get there is a failure */
    bool taken[3];         /* methods the server selects, by their number */
    uint8_t method;        /* the one selected */
    double reach_ms, reply_ms;
    char why[S5_GSS_WHY]; /* no GSSAPI context could be made; "" where one could */
};

/* Check configuration, servers and, where it is given, OPTIONS->command. The exit code: 0 when all
 * that is needed works, 1 when not, EXIT_OWN_ERROR for a configuration that cannot be used. */
int check(const struct options *options, char *const *environ_strings);

/* One server, group and all. */
void check_server(struct check *c);

/* What not every server does: names, IPv6, BIND, UDP, one flight. For check_server, after a CONNECT
 * was answered. */
void check_extras(struct check *c);

/* What requests to C's server have in common. */
struct s5_session_setup check_setup(const struct check *c, enum s5_command command, const struct s5_addr *dst);

/* Reach C's server and negotiate SETUP step by step (or as it says). T is to be ended in any case.
 */
int check_ask(struct check *c, const struct s5_session_setup *setup, int timeout_ms, struct talk *t);

/* What T's negotiation came to, for a person. */
const char *check_outcome(const struct talk *t, int result);

#endif

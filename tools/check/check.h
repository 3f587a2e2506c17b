/* --check (the doctor): each check reports what was found and what can be done about it. */
#ifndef TOOLS_CHECK_H
#define TOOLS_CHECK_H

#include "gss.h"
#include "options.h"
#include "report.h"
#include "socks_client.h"

#define CHECK_REACH_MS    10000 /* for the server to accept a connection */
#define CHECK_SNIFF_MS    2000  /* for what a server sends that does not speak SOCKS5 */
#define CHECK_REPLY_MS    20000 /* for a whole negotiation */
#define CHECK_DATAGRAM_MS 2000  /* for each of three datagrams */

/* A server that is being checked. */
struct check {
    struct report *report;
    const struct s5_policy *policy;
    struct s5_server *server;
    unsigned address;      /* index of the address that was reached */
    struct s5_addr target; /* the destination of requests */
    bool own_target;       /* the user named TARGET: a failed connection to it is a FINDING_FAIL */
    bool taken[3];         /* methods that the server selects, by their number */
    uint8_t method;        /* the method that the server selected */
    double reach_ms, reply_ms;
    char why[S5_GSS_WHY]; /* why no GSSAPI context could be made; "" if one was made */
};

/* Checks the configuration, the servers and, if it is given, OPTIONS->command. ENVIRON_STRINGS may be NULL: the
 * environment is ignored then. Prints a report. Returns the exit code: 0 if all that is needed works, 1 if not,
 * EXIT_OWN_ERROR for a configuration that cannot be used. */
int check(const struct options *options, char *const *environ_strings);

#endif

/* The resolver's questions, each of its functions by name: NAME has an address, and is told so by all
 * of them; MAIL and UNKNOWN do not, for the reason that each of them gives. */
#include "app.h"
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

static const char *name, *host, *domain;
static unsigned char reply[4096], query[512];

enum { ASK, SEARCH, WITHIN, NASK, NSEARCH, NWITHIN, SEND, NSEND, WAYS };

/* What is said of HOST, which is LABEL under DOMAIN. */
static int ask(int way, int type)
{
    struct __res_state *s = &_res;
    int len = way < SEND ? 0 : res_mkquery(ns_o_query, name, ns_c_in, type, NULL, 0, NULL, query, sizeof query);
    CHECK(len >= 0);
    h_errno = 0;
    switch (way) {
    case ASK:
        return res_query(name, ns_c_in, type, reply, sizeof reply);
    case SEARCH:
        return res_search(name, ns_c_in, type, reply, sizeof reply);
    case WITHIN:
        return res_querydomain(host, domain, ns_c_in, type, reply, sizeof reply);
    case NASK:
        return res_nquery(s, name, ns_c_in, type, reply, sizeof reply);
    case NSEARCH:
        return res_nsearch(s, name, ns_c_in, type, reply, sizeof reply);
    case NWITHIN:
        return res_nquerydomain(s, host, domain, ns_c_in, type, reply, sizeof reply);
    case SEND:
        return res_send(query, len, reply, sizeof reply);
    default:
        return res_nsend(s, query, len, reply, sizeof reply);
    }
}

static void split(const char *whole)
{
    static char first[256];
    snprintf(first, sizeof first, "%s", whole);
    char *dot = strchr(first, '.');
    CHECK(dot);
    *dot = 0;
    name = whole, host = first, domain = dot + 1;
}

static void expect_answer(int way)
{
    ns_msg m;
    ns_rr rr;
    int n = ask(way, ns_t_a);
    if (n <= 0)
        FAIL("way %d: no answer for %s: %d", way, name, h_errno);
    CHECK(ns_initparse(reply, n, &m) == 0 && ns_msg_count(m, ns_s_an) == 1);
    CHECK(ns_parserr(&m, ns_s_an, 0, &rr) == 0 && ns_rr_type(rr) == ns_t_a && ns_rr_rdlen(rr) == 4);
    CHECK(strcasecmp(ns_rr_name(rr), name) == 0);
}

static void expect_none(int way, int herr, int rcode)
{
    int n = ask(way, ns_t_mx);
    if (way < SEND && (n != -1 || h_errno != herr))
        FAIL("way %d: %d, h_errno %d for %s", way, n, h_errno, name);
    if (way >= SEND)
        CHECK(n >= NS_HFIXEDSZ && (reply[3] & 15) == rcode && reply[6] == 0 && reply[7] == 0);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        FAIL("usage: %s NAME UNKNOWN", argv[0]);
    CHECK(res_init() == 0);
    for (int way = 0; way < WAYS; way++) {
        split(argv[1]);
        expect_answer(way);
        expect_none(way, NO_DATA, ns_r_noerror);
        split(argv[2]);
        expect_none(way, HOST_NOT_FOUND, ns_r_nxdomain);
    }
    char wrong[300];
    memset(wrong, 'x', sizeof wrong - 1);
    wrong[sizeof wrong - 1] = 0;
    CHECK(res_query(wrong, ns_c_in, ns_t_a, reply, sizeof reply) == -1 && h_errno == NO_RECOVERY);
    return 0;
}

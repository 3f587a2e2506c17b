/* DNS queries through each function of the resolver. NAME has an A record and no MX record; every function must
 * report both. UNKNOWN does not exist. */
#include "app.h"
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

static const char *name, *host, *domain;
static unsigned char reply[4096], query[512];

enum { ASK, SEARCH, WITHIN, NASK, NSEARCH, NWITHIN, SEND, NSEND, WAYS };

/* Sends a query of type TYPE for NAME, which is HOST in DOMAIN. */
static int send_query(int way, int type)
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

static void split_name(const char *whole)
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
    int n = send_query(way, ns_t_a);
    if (n <= 0)
        FAIL("way %d: no answer for %s: %d", way, name, h_errno);
    CHECK(ns_initparse(reply, n, &m) == 0 && ns_msg_count(m, ns_s_an) == 1);
    CHECK(ns_parserr(&m, ns_s_an, 0, &rr) == 0 && ns_rr_type(rr) == ns_t_a && ns_rr_rdlen(rr) == 4);
    CHECK(strcasecmp(ns_rr_name(rr), name) == 0);
}

static void expect_none(int way, int herr, int rcode)
{
    int n = send_query(way, ns_t_mx);
    if (way < SEND && (n != -1 || h_errno != herr))
        FAIL("way %d: %d, h_errno %d for %s", way, n, h_errno, name);
    if (way >= SEND)
        CHECK(n >= NS_HFIXEDSZ && (reply[3] & 15) == rcode && reply[6] == 0 && reply[7] == 0);
}

/* Uses a separate socket to the first name server and the calls for whole messages. Each answer comes from that
 * server, and the source address is truncated to the buffer. */
static void check_message_calls(void)
{
    struct sockaddr_in server = _res.nsaddr_list[0], from[2] = {{0}};
    struct timeval limit = {20, 0};
    char more[512];
    struct iovec iov[2] = {{reply, sizeof reply}, {more, sizeof more}};
    struct mmsghdr m[2] = {
        {.msg_hdr = {.msg_name = &from[0], .msg_namelen = sizeof *from, .msg_iov = &iov[0], .msg_iovlen = 1}},
        {.msg_hdr = {.msg_name = &from[1], .msg_namelen = sizeof *from, .msg_iov = &iov[1], .msg_iovlen = 1}}};
    int len = res_mkquery(ns_o_query, name, ns_c_in, ns_t_a, NULL, 0, NULL, query, sizeof query);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(len > 0 && fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(recvmmsg(fd, m, 2, MSG_DONTWAIT, NULL) == -1 && errno == EAGAIN);
    for (int i = 0; i < 2; i++)
        CHECK(sendto(fd, query, (size_t)len, 0, (struct sockaddr *)&server, sizeof server) == len);
    CHECK(recvmmsg(fd, m, 2, 0, NULL) == 2);
    for (int i = 0; i < 2; i++)
        CHECK(m[i].msg_len > (unsigned)len && memcmp(iov[i].iov_base, query, 2) == 0 &&
              from[i].sin_port == server.sin_port && from[i].sin_addr.s_addr == server.sin_addr.s_addr);
    CHECK(recvmsg(fd, &m[0].msg_hdr, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(sendto(fd, query, (size_t)len, 0, (struct sockaddr *)&server, sizeof server) == len);
    socklen_t little = 2;
    CHECK(recvfrom(fd, reply, sizeof reply, 0, (struct sockaddr *)from, &little) > len);
    CHECK(from[0].sin_family == AF_INET && little == sizeof server);
    CHECK(close(fd) == 0);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        FAIL("usage: %s NAME UNKNOWN", argv[0]);
    CHECK(res_init() == 0);
    for (int way = 0; way < WAYS; way++) {
        split_name(argv[1]);
        expect_answer(way);
        expect_none(way, NO_DATA, ns_r_noerror);
        split_name(argv[2]);
        expect_none(way, HOST_NOT_FOUND, ns_r_nxdomain);
    }
    split_name(argv[1]);
    check_message_calls();
    char wrong[300];
    memset(wrong, 'x', sizeof wrong - 1);
    wrong[sizeof wrong - 1] = 0;
    CHECK(res_query(wrong, ns_c_in, ns_t_a, reply, sizeof reply) == -1 && h_errno == NO_RECOVERY);
    return 0;
}

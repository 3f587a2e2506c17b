/* A packet of any content, and the ICMP errors about it. What an error quotes is the same packet for the kernel. */
#include "fuzz.h"
#include "packet.h"
#include <errno.h>
#include <netinet/in.h>

#define REST 8 /* octets of the ICMP header */

static bool is_same_endpoint(const struct s5_endpoint *a, const struct s5_endpoint *b)
{
    return a->len == b->len && memcmp(&a->any, &b->any, a->len) == 0;
}

static void check_endpoints(const struct packet *p, bool ports)
{
    bool four = p->from.any.sa_family == AF_INET;
    CHECK(four || p->from.any.sa_family == AF_INET6);
    CHECK(p->to.any.sa_family == p->from.any.sa_family && p->to.len == p->from.len);
    CHECK(p->from.len == (four ? sizeof p->from.v4 : sizeof p->from.v6));
    CHECK(ports || (s5_endpoint_port(&p->from.any) == 0 && s5_endpoint_port(&p->to.any) == 0));
    CHECK(p->quoted_len == (four ? 28 : 48));
}

/* The quoted part of P, N octets at QUOTED, is read as P. */
static void check_quoted(const struct packet *p, const uint8_t *quoted, size_t n)
{
    struct packet again;
    uint8_t *exact = exact_copy(quoted, n);
    CHECK(packet_read(&again, exact, n));
    CHECK(again.protocol == p->protocol && is_same_endpoint(&again.from, &p->from));
    CHECK(is_same_endpoint(&again.to, &p->to));
    CHECK(again.quoted_len == p->quoted_len && memcmp(again.quoted, p->quoted, p->quoted_len) == 0);
    free(exact);
}

static void check_checksum(const uint8_t *message, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i += 2)
        sum += (uint32_t)(message[i] << 8 | message[i + 1]);
    CHECK(sum % 0xffff == 0 && sum > 0);
}

static void check_errors(const struct packet *p)
{
    static const int errors[] = {0,          EPERM,        EACCES,    ENETDOWN,     ENETUNREACH,
                                 EHOSTDOWN,  EHOSTUNREACH, ETIMEDOUT, ECONNREFUSED, EAFNOSUPPORT,
                                 ECONNRESET, EMSGSIZE,     -1,        INT32_MAX};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        uint8_t *message = malloc(PACKET_ERROR_MAX);
        CHECK(message);
        size_t n = packet_write_error(p, errors[i], message);
        CHECK(n == REST + (size_t)p->quoted_len && n <= PACKET_ERROR_MAX);
        CHECK(message[0] == (p->from.any.sa_family == AF_INET ? 3 : 1) && message[1] <= 13);
        if (p->from.any.sa_family == AF_INET)
            check_checksum(message, n);
        check_quoted(p, message + REST, n - REST);
        free(message);
    }
}

/* A datagram between the same endpoints. */
static void check_datagram(const struct packet *p, size_t size)
{
    struct packet made;
    packet_make_udp(&made, &p->from, &p->to, size % 65000);
    check_endpoints(&made, true);
    check_quoted(&made, made.quoted, made.quoted_len);
    check_errors(&made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet p;
    uint8_t *exact = exact_copy(data, size);
    if (packet_read(&p, exact, size)) {
        bool ports = p.protocol == IPPROTO_TCP || p.protocol == IPPROTO_UDP;
        CHECK(ports || p.protocol == IPPROTO_ICMP || p.protocol == IPPROTO_ICMPV6);
        check_endpoints(&p, ports);
        check_quoted(&p, p.quoted, p.quoted_len);
        check_errors(&p);
        check_datagram(&p, size * 257);
    }
    free(exact);
    return 0;
}

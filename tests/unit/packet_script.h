/* Shared by the tests of packets: packets that are written by means of the kernel's structures, not of the offsets that
 * the code under test uses. */
#ifndef PACKET_SCRIPT_H
#define PACKET_SCRIPT_H

#include "packet.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define FROM4        "10.9.8.7"
#define TO4          "192.0.2.33"
#define FROM6        "fd00:1:2:3::7"
#define TO6          "2001:db8::33"
#define FROM_PORT    51234
#define TO_PORT      443

struct octets {
    uint8_t at[4096];
    size_t n;
};

static inline void append(struct octets *o, const void *what, size_t n)
{
    cr_assert_leq(o->n + n, sizeof o->at);
    if (n)
        memcpy(o->at + o->n, what, n);
    o->n += n;
}

/* Appends the header of IPv4 with N_OPTIONS octets of options, a multiple of 4. */
static inline void append_ipv4(struct octets *o, uint8_t protocol, size_t n_options, uint16_t fragment)
{
    struct iphdr head = {.version = 4,
                         .ihl = (unsigned)(5 + n_options / 4) & 15,
                         .tos = 0x10,
                         .tot_len = htons((uint16_t)(60 + n_options)),
                         .id = htons(0xbeef),
                         .frag_off = htons(fragment),
                         .ttl = 61,
                         .protocol = protocol,
                         .check = 0x1234};
    uint8_t options[40];
    memset(options, IPOPT_NOP, sizeof options);
    inet_pton(AF_INET, FROM4, &head.saddr);
    inet_pton(AF_INET, TO4, &head.daddr);
    append(o, &head, sizeof head);
    append(o, options, n_options);
}

static inline void append_ipv6(struct octets *o, uint8_t next)
{
    struct ip6_hdr head = {.ip6_flow = htonl(0x60012345), .ip6_plen = htons(60), .ip6_nxt = next, .ip6_hlim = 62};
    inet_pton(AF_INET6, FROM6, &head.ip6_src);
    inet_pton(AF_INET6, TO6, &head.ip6_dst);
    append(o, &head, sizeof head);
}

/* Appends an extension header of 8 + 8 * MORE octets, before one of the type NEXT. */
static inline void append_extension(struct octets *o, uint8_t next, uint8_t more)
{
    struct ip6_ext head = {.ip6e_nxt = next, .ip6e_len = more};
    uint8_t rest[8 + 8 * 255 - sizeof head];
    memset(rest, 0xee, sizeof rest); /* no length of a further header */
    append(o, &head, sizeof head);
    append(o, rest, 8 + 8 * (size_t)more - sizeof head);
}

static inline void append_tcp(struct octets *o)
{
    struct tcphdr head = {
        .source = htons(FROM_PORT), .dest = htons(TO_PORT), .seq = htonl(0x01020304), .doff = 5, .syn = 1};
    append(o, &head, sizeof head);
}

static inline void append_udp(struct octets *o, size_t size)
{
    struct udphdr head = {
        .source = htons(FROM_PORT), .dest = htons(TO_PORT), .len = htons((uint16_t)(sizeof head + size))};
    append(o, &head, sizeof head);
}

static inline struct s5_endpoint make_endpoint(const char *text, uint16_t port)
{
    struct s5_endpoint at;
    memset(&at, 0, sizeof at);
    if (inet_pton(AF_INET, text, &at.v4.sin_addr) == 1) {
        at.v4.sin_family = AF_INET;
        at.len = sizeof at.v4;
    } else {
        memset(&at, 0, sizeof at);
        cr_assert_eq(inet_pton(AF_INET6, text, &at.v6.sin6_addr), 1, "%s", text);
        at.v6.sin6_family = AF_INET6;
        at.len = sizeof at.v6;
    }
    s5_endpoint_set_port(&at.any, port);
    return at;
}

static inline void expect_endpoint(const struct s5_endpoint *at, const char *text, uint16_t port)
{
    const struct s5_endpoint expected = make_endpoint(text, port);
    cr_assert_eq(at->len, expected.len);
    cr_assert_eq(memcmp(&at->any, &expected.any, expected.len), 0, "%s, port %u", text, port);
}

/* Reads a copy in memory of the exact size, so that a sanitizer detects reads beyond its end. */
static inline bool read_exact(struct packet *ret, const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    cr_assert_not_null(copy);
    if (n)
        memcpy(copy, p, n);
    memset(ret, 0xa5, sizeof *ret);
    bool result = packet_read(ret, copy, n);
    free(copy);
    return result;
}

/* O is read from NEEDED octets on, and from no fewer. RET is what it was read as. */
static inline void expect_readable(const struct octets *o, size_t needed, struct packet *ret)
{
    struct packet p;
    for (size_t n = 0; n < needed; n++)
        cr_assert_not(read_exact(&p, o->at, n), "%zu of %zu octets", n, needed);
    for (size_t n = needed; n <= o->n; n++) {
        cr_assert(read_exact(ret, o->at, n), "%zu octets", n);
        if (n > needed)
            cr_assert_eq(memcmp(&p, ret, sizeof p), 0, "more octets change nothing");
        p = *ret;
    }
}

static inline void expect_refused(const struct octets *o)
{
    struct packet p;
    for (size_t n = 0; n <= o->n; n++)
        cr_assert_not(read_exact(&p, o->at, n), "%zu octets", n);
}

#endif

/* Packets that wait for a verdict: which ones are understood, and what an ICMP error quotes of them. */
#include "packet_script.h"

#define HEAD4 sizeof(struct iphdr)
#define HEAD6 sizeof(struct ip6_hdr)
#define PORTS 8 /* octets of the transport header that are needed */

/* P must be what the IP header of O says, and quote it: HEAD octets of it, and the transport header behind SIZE octets.
 * The first octet and the protocol, which is octet NEXT, are those of a header without options and extensions. */
static void expect_quoted(const struct packet *p, const struct octets *o, size_t head, size_t size, size_t next)
{
    cr_assert_eq(p->quoted_len, head + PORTS);
    for (size_t i = 0; i < head; i++)
        if (i != 0 && i != next)
            cr_assert_eq(p->quoted[i], o->at[i], "octet %zu", i);
    cr_assert_eq(p->quoted[0], head == HEAD4 ? 0x45 : o->at[0]);
    cr_assert_eq(p->quoted[next], p->protocol);
    cr_assert_arr_eq(p->quoted + head, o->at + size, PORTS);
}

static void expect_ipv4(const struct packet *p, const struct octets *o, size_t size)
{
    bool ports = p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP;
    expect_endpoint(&p->from, FROM4, ports ? FROM_PORT : 0);
    expect_endpoint(&p->to, TO4, ports ? TO_PORT : 0);
    expect_quoted(p, o, HEAD4, size, offsetof(struct iphdr, protocol));
}

static void expect_ipv6(const struct packet *p, const struct octets *o, size_t size)
{
    bool ports = p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP;
    expect_endpoint(&p->from, FROM6, ports ? FROM_PORT : 0);
    expect_endpoint(&p->to, TO6, ports ? TO_PORT : 0);
    expect_quoted(p, o, HEAD6, size, offsetof(struct ip6_hdr, ip6_nxt));
}

/* The part of a packet that an error quotes is read as the same packet: the kernel finds the socket by it. */
static void expect_quoted_is_the_same(const struct packet *p)
{
    struct packet again;
    cr_assert(read_exact(&again, p->quoted, p->quoted_len));
    cr_assert_eq(again.protocol, p->protocol);
    cr_assert(again.from.len == p->from.len && memcmp(&again.from.any, &p->from.any, p->from.len) == 0);
    cr_assert(again.to.len == p->to.len && memcmp(&again.to.any, &p->to.any, p->to.len) == 0);
    cr_assert(again.quoted_len == p->quoted_len && memcmp(again.quoted, p->quoted, p->quoted_len) == 0);
}

/* --- IPv4 --- */

Test(packet, ipv4_with_any_options_and_any_truncation)
{
    for (size_t options = 0; options <= 40; options += 4) {
        struct octets o = {.n = 0};
        struct packet p;
        append_ipv4(&o, IPPROTO_TCP, options, 0);
        append_tcp(&o);
        expect_readable(&o, HEAD4 + options + PORTS, &p);
        cr_assert_eq(p.protocol, IPPROTO_TCP);
        expect_ipv4(&p, &o, HEAD4 + options);
        expect_quoted_is_the_same(&p);
    }
}

Test(packet, ipv4_header_that_is_too_short_is_refused)
{
    for (uint8_t words = 0; words < 5; words++) {
        struct octets o = {.n = 0};
        append_ipv4(&o, IPPROTO_TCP, 0, 0);
        append_tcp(&o);
        o.at[0] = (uint8_t)(0x40 | words);
        expect_refused(&o);
    }
}

Test(packet, later_fragments_are_refused)
{
    struct packet p;
    for (unsigned bit = 0; bit < 16; bit++) {
        struct octets o = {.n = 0};
        append_ipv4(&o, IPPROTO_UDP, 0, (uint16_t)(1u << bit));
        append_udp(&o, 0);
        if (bit >= 13) { /* flags; with "more fragments" it is the first one, which has the ports */
            expect_readable(&o, HEAD4 + PORTS, &p);
            expect_ipv4(&p, &o, HEAD4);
        } else
            expect_refused(&o);
    }
    struct octets last = {.n = 0};
    append_ipv4(&last, IPPROTO_UDP, 0, IP_MF | 0x1fff);
    append_udp(&last, 0);
    expect_refused(&last);
}

/* --- IPv6 --- */

Test(packet, ipv6_without_extensions)
{
    struct octets o = {.n = 0};
    struct packet p;
    append_ipv6(&o, IPPROTO_TCP);
    append_tcp(&o);
    expect_readable(&o, HEAD6 + PORTS, &p);
    cr_assert_eq(p.protocol, IPPROTO_TCP);
    expect_ipv6(&p, &o, HEAD6);
    expect_quoted_is_the_same(&p);
}

Test(packet, ipv6_with_one_extension_of_any_length)
{
    static const uint8_t kinds[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS};
    for (size_t i = 0; i < COUNT(kinds); i++)
        for (unsigned more = 0; more < 256; more += more < 3 ? 1 : 63) {
            struct octets o = {.n = 0};
            struct packet p;
            append_ipv6(&o, kinds[i]);
            append_extension(&o, IPPROTO_UDP, (uint8_t)more);
            size_t size = o.n;
            append_udp(&o, 0);
            expect_readable(&o, size + PORTS, &p);
            cr_assert_eq(p.protocol, IPPROTO_UDP);
            expect_ipv6(&p, &o, size);
            expect_quoted_is_the_same(&p);
        }
}

/* Appends N extension headers of several kinds, the first one of which hops read, before one of the type LAST. */
static size_t append_extensions(struct octets *o, unsigned n, uint8_t last)
{
    static const uint8_t kinds[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING};
    append_ipv6(o, n ? kinds[0] : last);
    for (unsigned i = 0; i < n; i++)
        append_extension(o, i + 1 < n ? kinds[(i + 1) % COUNT(kinds)] : last, (uint8_t)(i % 2));
    return o->n;
}

Test(packet, ipv6_with_up_to_8_extensions)
{
    for (unsigned n = 0; n <= 8; n++) {
        struct octets o = {.n = 0};
        struct packet p;
        size_t size = append_extensions(&o, n, IPPROTO_TCP);
        append_tcp(&o);
        expect_readable(&o, size + PORTS, &p);
        cr_assert_eq(p.protocol, IPPROTO_TCP);
        expect_ipv6(&p, &o, size);
        expect_quoted_is_the_same(&p);
    }
    for (unsigned n = 9; n < 12; n++) {
        struct octets o = {.n = 0};
        append_extensions(&o, n, IPPROTO_TCP);
        append_tcp(&o);
        expect_refused(&o);
    }
}

Test(packet, an_extension_that_ends_behind_the_packet_is_refused)
{
    struct octets o = {.n = 0};
    append_ipv6(&o, IPPROTO_HOPOPTS);
    append_extension(&o, IPPROTO_TCP, 0);
    append_tcp(&o);
    o.at[HEAD6 + 1] = 255;
    expect_refused(&o);
    o.at[HEAD6 + 1] = 3; /* it would end 4 octets behind */
    expect_refused(&o);
    o.at[HEAD6 + 1] = 2; /* nothing is left for the ports */
    expect_refused(&o);
}

/* --- protocols --- */

Test(packet, icmp_has_no_ports)
{
    const struct icmphdr echo4 = {.type = ICMP_ECHO, .un.echo = {htons(7), htons(9)}};
    const struct icmp6_hdr echo6 = {.icmp6_type = ICMP6_ECHO_REQUEST};
    struct octets four = {.n = 0}, six = {.n = 0};
    struct packet p;
    append_ipv4(&four, IPPROTO_ICMP, 8, 0);
    append(&four, &echo4, sizeof echo4);
    expect_readable(&four, HEAD4 + 8 + PORTS, &p);
    cr_assert_eq(p.protocol, IPPROTO_ICMP);
    expect_ipv4(&p, &four, HEAD4 + 8);
    expect_quoted_is_the_same(&p);
    append_ipv6(&six, IPPROTO_ICMPV6);
    append(&six, &echo6, sizeof echo6);
    expect_readable(&six, HEAD6 + PORTS, &p);
    cr_assert_eq(p.protocol, IPPROTO_ICMPV6);
    expect_ipv6(&p, &six, HEAD6);
    expect_quoted_is_the_same(&p);
}

Test(packet, all_other_protocols_are_refused)
{
    for (unsigned protocol = 0; protocol < 256; protocol++) {
        bool known = protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP ||
                     protocol == IPPROTO_ICMPV6;
        bool extension = protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS;
        struct octets four = {.n = 0}, six = {.n = 0}, behind = {.n = 0};
        struct packet p;
        append_ipv4(&four, (uint8_t)protocol, 0, 0);
        append_tcp(&four);
        cr_assert_eq(read_exact(&p, four.at, four.n), known, "IPv4, %u", protocol);
        append_ipv6(&six, (uint8_t)protocol);
        append_tcp(&six);
        if (!extension)
            cr_assert_eq(read_exact(&p, six.at, six.n), known, "IPv6, %u", protocol);
        append_ipv6(&behind, IPPROTO_HOPOPTS);
        append_extension(&behind, (uint8_t)protocol, 0);
        append_tcp(&behind);
        if (!extension)
            cr_assert_eq(read_exact(&p, behind.at, behind.n), known, "IPv6, %u behind an extension", protocol);
    }
}

Test(packet, only_the_versions_4_and_6_are_read)
{
    struct octets o = {.n = 0};
    append_ipv6(&o, IPPROTO_TCP);
    append_tcp(&o);
    for (unsigned version = 0; version < 16; version++) {
        o.at[0] = (uint8_t)(version << 4 | 5);
        if (version != 4 && version != 6)
            expect_refused(&o);
    }
}

/* --- the head of a datagram that was received without it --- */

Test(packet, udp_head_is_that_of_the_datagram)
{
    static const size_t sizes[] = {0, 1, 255, 256, 1400, 65507};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const struct s5_endpoint from = make_endpoint(FROM4, FROM_PORT), to = make_endpoint(TO4, TO_PORT);
        struct iphdr ip;
        struct udphdr udp;
        struct packet p;
        memset(&p, 0xa5, sizeof p);
        packet_make_udp(&p, &from, &to, sizes[i]);
        cr_assert(p.protocol == IPPROTO_UDP && p.quoted_len == sizeof ip + sizeof udp);
        expect_endpoint(&p.from, FROM4, FROM_PORT);
        expect_endpoint(&p.to, TO4, TO_PORT);
        memcpy(&ip, p.quoted, sizeof ip);
        memcpy(&udp, p.quoted + sizeof ip, sizeof udp);
        cr_assert(ip.version == 4 && ip.ihl == 5 && ip.protocol == IPPROTO_UDP && ip.frag_off == 0 && ip.ttl > 0);
        cr_assert_eq(ntohs(ip.tot_len), sizeof ip + sizeof udp + sizes[i]);
        cr_assert(ip.saddr == from.v4.sin_addr.s_addr && ip.daddr == to.v4.sin_addr.s_addr);
        cr_assert(ntohs(udp.source) == FROM_PORT && ntohs(udp.dest) == TO_PORT);
        cr_assert_eq(ntohs(udp.len), sizeof udp + sizes[i]);
        expect_quoted_is_the_same(&p);
    }
}

Test(packet, udp_head_is_that_of_the_datagram_of_ipv6)
{
    static const size_t sizes[] = {0, 1, 1400, 65527};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const struct s5_endpoint from = make_endpoint(FROM6, FROM_PORT), to = make_endpoint(TO6, TO_PORT);
        struct ip6_hdr ip;
        struct udphdr udp;
        struct packet p;
        memset(&p, 0xa5, sizeof p);
        packet_make_udp(&p, &from, &to, sizes[i]);
        cr_assert(p.protocol == IPPROTO_UDP && p.quoted_len == sizeof ip + sizeof udp);
        expect_endpoint(&p.from, FROM6, FROM_PORT);
        expect_endpoint(&p.to, TO6, TO_PORT);
        memcpy(&ip, p.quoted, sizeof ip);
        memcpy(&udp, p.quoted + sizeof ip, sizeof udp);
        cr_assert(ip.ip6_vfc == 0x60 && ip.ip6_nxt == IPPROTO_UDP && ip.ip6_hlim > 0);
        cr_assert_eq(ntohs(ip.ip6_plen), sizeof udp + sizes[i]);
        cr_assert(memcmp(&ip.ip6_src, &from.v6.sin6_addr, 16) == 0 && memcmp(&ip.ip6_dst, &to.v6.sin6_addr, 16) == 0);
        cr_assert(ntohs(udp.source) == FROM_PORT && ntohs(udp.dest) == TO_PORT);
        cr_assert_eq(ntohs(udp.len), sizeof udp + sizes[i]);
        expect_quoted_is_the_same(&p);
    }
}

/* ICMP errors about packets: their octets, the checksum, and the errno that the kernel makes of them. */
#include "packet_script.h"

#define REST 8 /* octets of the ICMP header */

/* The errno that the kernel makes of a message, see icmp_err_convert (net/ipv4/icmp.c) and icmpv6_err_convert(). A UDP
 * socket that has not set IP_RECVERR gets those that are marked as fatal; 0: it gets none. */
static int get_kernel_error(const struct packet *p, uint8_t type, uint8_t code)
{
    static const struct {
        int error;
        bool fatal;
    } errors4[] = {{ENETUNREACH, false},  {EHOSTUNREACH, false}, {ENOPROTOOPT, true},  {ECONNREFUSED, true},
                   {EMSGSIZE, false},     {EOPNOTSUPP, false},   {ENETUNREACH, true},  {EHOSTDOWN, true},
                   {ENONET, true},        {ENETUNREACH, true},   {EHOSTUNREACH, true}, {ENETUNREACH, false},
                   {EHOSTUNREACH, false}, {EHOSTUNREACH, true},  {EHOSTUNREACH, true}, {EHOSTUNREACH, true}},
      errors6[] = {{ENETUNREACH, false}, {EACCES, true}, {EHOSTUNREACH, false}, {EHOSTUNREACH, false},
                   {ECONNREFUSED, true}, {EACCES, true}, {EACCES, true}};
    bool four = p->from.any.sa_family == AF_INET;
    cr_assert_eq(type, four ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH);
    cr_assert_lt(code, four ? COUNT(errors4) : COUNT(errors6));
    bool told = p->protocol != IPPROTO_UDP || (four ? errors4[code].fatal : errors6[code].fatal);
    return !told ? 0 : four ? errors4[code].error : errors6[code].error;
}

/* The Internet checksum by its definition (RFC 1071), another way than the code under test: 0 if it is right. */
static uint16_t verify_checksum(const uint8_t *p, size_t n)
{
    uint16_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t word = i % 2 ? p[i] : (uint32_t)p[i] << 8;
        uint32_t more = sum + word;
        sum = (uint16_t)(more > 0xffff ? more - 0xffff : more); /* the carry is added at once */
    }
    return (uint16_t)~sum;
}

static struct packet make_packet(bool four, uint8_t protocol)
{
    struct octets o = {.n = 0};
    struct packet p;
    if (four)
        append_ipv4(&o, protocol, 0, 0);
    else
        append_ipv6(&o, protocol);
    append_tcp(&o);
    cr_assert(read_exact(&p, o.at, o.n));
    return p;
}

/* Writes the error, checks everything but its code, and returns the errno that the sender of P gets. */
static int write_error(const struct packet *p, int error)
{
    bool four = p->from.any.sa_family == AF_INET;
    uint8_t *message = malloc(PACKET_ERROR_MAX);
    cr_assert_not_null(message);
    memset(message, 0xa5, PACKET_ERROR_MAX);
    size_t n = packet_write_error(p, error, message);
    cr_assert_eq(n, REST + p->quoted_len);
    cr_assert_leq(n, PACKET_ERROR_MAX);
    cr_assert_arr_eq(message + REST, p->quoted, p->quoted_len);
    cr_assert_arr_eq(message + 4, "\0\0\0\0", 4);
    if (four)
        cr_assert_eq(verify_checksum(message, n), 0);
    else
        cr_assert_arr_eq(message + 2, "\0\0", 2, "the kernel's work");
    for (size_t i = n; i < PACKET_ERROR_MAX; i++)
        cr_assert_eq(message[i], 0xa5, "octet %zu", i);
    int result = get_kernel_error(p, message[0], message[1]);
    free(message);
    return result;
}

Test(packet_error, octets_for_ipv4)
{
    static const uint8_t expected[] = {
        3,    3,    0xd9, 0xad, 0,   0,  0, 0,                /* port unreachable */
        0x45, 0,    0,    33,   0,   0,  0, 0,  64, 17, 0, 0, /* 20 + 8 + 5 octets */
        10,   9,    8,    7,    192, 0,  2, 33,               /* FROM4, TO4 */
        0xc8, 0x22, 0x01, 0xbb, 0,   13, 0, 0,                /* the ports, 8 + 5 octets */
    };
    const struct s5_endpoint from = make_endpoint(FROM4, FROM_PORT), to = make_endpoint(TO4, TO_PORT);
    uint8_t message[PACKET_ERROR_MAX];
    struct packet p;
    packet_make_udp(&p, &from, &to, 5);
    cr_assert_eq(packet_write_error(&p, ECONNREFUSED, message), sizeof expected);
    for (size_t i = 0; i < sizeof expected; i++)
        cr_expect_eq(message[i], expected[i], "octet %zu: %02x", i, message[i]);
}

Test(packet_error, octets_for_ipv6)
{
    static const uint8_t expected[] = {
        1,    4,    0,    0,    0, 0,  0,  0,                             /* port unreachable */
        0x60, 0,    0,    0,    0, 13, 17, 64,                            /* 8 + 5 octets of UDP */
        0xfd, 0,    0,    1,    0, 2,  0,  3,  0, 0, 0, 0, 0, 0, 0, 7,    /* FROM6 */
        0x20, 0x01, 0x0d, 0xb8, 0, 0,  0,  0,  0, 0, 0, 0, 0, 0, 0, 0x33, /* TO6 */
        0xc8, 0x22, 0x01, 0xbb, 0, 13, 0,  0,
    };
    const struct s5_endpoint from = make_endpoint(FROM6, FROM_PORT), to = make_endpoint(TO6, TO_PORT);
    uint8_t message[PACKET_ERROR_MAX];
    struct packet p;
    packet_make_udp(&p, &from, &to, 5);
    cr_assert_eq(packet_write_error(&p, ECONNREFUSED, message), sizeof expected);
    for (size_t i = 0; i < sizeof expected; i++)
        cr_expect_eq(message[i], expected[i], "octet %zu: %02x", i, message[i]);
}

/* The errno that the program gets. A connection that is refused gets a reset, not an ICMP error. */
Test(packet_error, errno_of_the_program)
{
    static const struct {
        int error, tcp4, tcp6, udp4, udp6;
    } rows[] = {
        {ENETUNREACH, ENETUNREACH, ENETUNREACH, ENETUNREACH, EACCES},
        {ENETDOWN, ENETUNREACH, ENETUNREACH, ENETUNREACH, EACCES},
        {EAFNOSUPPORT, ENETUNREACH, ENETUNREACH, ENETUNREACH, EACCES},
        {EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EACCES},
        {EHOSTDOWN, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EACCES},
        {ETIMEDOUT, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EACCES},
        {ECONNRESET, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EACCES},
        {ECONNREFUSED, EHOSTUNREACH, EHOSTUNREACH, ECONNREFUSED, ECONNREFUSED},
        {EACCES, EHOSTUNREACH, EACCES, EHOSTUNREACH, EACCES},
        {EPERM, EHOSTUNREACH, EACCES, EHOSTUNREACH, EACCES},
        {0, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EACCES},
        {-1, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EACCES},
    };
    const struct packet tcp4 = make_packet(true, IPPROTO_TCP), tcp6 = make_packet(false, IPPROTO_TCP),
                        udp4 = make_packet(true, IPPROTO_UDP), udp6 = make_packet(false, IPPROTO_UDP);
    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_expect_eq(write_error(&tcp4, rows[i].error), rows[i].tcp4, "row %zu", i);
        cr_expect_eq(write_error(&tcp6, rows[i].error), rows[i].tcp6, "row %zu", i);
        cr_expect_eq(write_error(&udp4, rows[i].error), rows[i].udp4, "row %zu", i);
        cr_expect_eq(write_error(&udp6, rows[i].error), rows[i].udp6, "row %zu", i);
    }
}

Test(packet_error, echo_requests_get_one_too)
{
    const struct packet four = make_packet(true, IPPROTO_ICMP), six = make_packet(false, IPPROTO_ICMPV6);
    cr_assert_eq(write_error(&four, ENETUNREACH), ENETUNREACH);
    cr_assert_eq(write_error(&six, ENETUNREACH), ENETUNREACH);
}

/* What is quoted is read again by the kernel, which finds the socket by it. */
Test(packet_error, quoted_packet_has_the_same_endpoints)
{
    static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
    for (size_t i = 0; i < 2 * COUNT(protocols); i++) {
        const struct packet p = make_packet(i % 2, protocols[i / 2]);
        uint8_t message[PACKET_ERROR_MAX];
        struct packet again;
        size_t n = packet_write_error(&p, ENETUNREACH, message);
        cr_assert(read_exact(&again, message + REST, n - REST));
        cr_assert_eq(again.protocol, protocols[i / 2]);
        expect_endpoint(&again.from, i % 2 ? FROM4 : FROM6, FROM_PORT);
        expect_endpoint(&again.to, i % 2 ? TO4 : TO6, TO_PORT);
    }
}

/* Sums with any number of carries, also that of the carries. */
Test(packet_error, checksum_of_any_content)
{
    static const uint8_t fills[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    struct packet p = make_packet(true, IPPROTO_TCP);
    for (size_t i = 0; i < COUNT(fills); i++) {
        memset(p.quoted, fills[i], p.quoted_len);
        write_error(&p, ENETUNREACH);
    }
    uint64_t random = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        for (size_t j = 0; j < p.quoted_len; j++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            p.quoted[j] = (uint8_t)(random & 1 ? 0xff : random >> 8);
        }
        write_error(&p, i % 2 ? EHOSTUNREACH : EACCES);
    }
}

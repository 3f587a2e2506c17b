/* Addresses: an IPv4 or IPv6 address or a domain name, with a port; and their
 * conversions to and from text and struct sockaddr. Touches only bytes. */
#ifndef S5_ADDR_H
#define S5_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Longest domain name of RFC 1928, in octets, and the longest text of
 * s5_addr_format with its NUL: brackets, colon and five digits added. */
#define S5_ADDR_NAME_MAX 255
#define S5_ADDR_TEXT_MAX 272

enum s5_addr_kind {
    S5_ADDR_NONE = 0, /* nothing set */
    S5_ADDR_IPV4,     /* octets[0..3] */
    S5_ADDR_IPV6,     /* octets[0..15]; never v4-mapped, see s5_addr_from_sockaddr */
    S5_ADDR_NAME,     /* name, name_len octets and a NUL */
};

/* Without pointers, so that it may live in memory shared by processes. */
struct s5_addr {
    uint8_t kind;     /* enum s5_addr_kind */
    uint8_t name_len; /* octets of name before its NUL; 0 unless a name */
    uint16_t port;    /* host byte order */
    uint32_t scope;   /* sin6_scope_id; 0 unless IPv6 link-local */
    union {
        uint8_t octets[16]; /* network byte order */
        char name[S5_ADDR_NAME_MAX + 1];
    };
};

/* From LEN octets in network order, 4 (IPv4) or 16 (IPv6; a v4-mapped address becomes IPv4). */
void s5_addr_from_octets(struct s5_addr *ret, const uint8_t *octets, size_t len, uint16_t port);

/* An AF_INET or AF_INET6 address of LEN octets; a v4-mapped one becomes IPv4.
 * 0, or -EINVAL (too short for its family), -EAFNOSUPPORT (another family). */
int s5_addr_from_sockaddr(struct s5_addr *ret, const struct sockaddr *sa, socklen_t len);

/* For a socket of FAMILY: an IPv4 address for AF_INET6 is written v4-mapped.
 * 0, or -EAFNOSUPPORT (a name, or IPv6 for AF_INET). */
int s5_addr_to_sockaddr(const struct s5_addr *addr, int family, struct sockaddr_storage *ret, socklen_t *ret_len);

/* TEXT of LEN octets without NUL: an IPv4 or IPv6 literal (brackets around IPv6
 * allowed, a %scope is not), or else a name of 1 to 255 octets, each of them
 * printable ASCII and not a space, slash or colon, nor the first of them a '['.
 * 0, or -EINVAL. */
int s5_addr_parse(struct s5_addr *ret, const char *text, size_t len, uint16_t port);

/* "192.0.2.1:80", "[2001:db8::1]:80", "name:80"; cut to SIZE, always with a NUL.
 * S5_ADDR_NONE is "unknown:80". Returns buf. Octets of a name that are not printable
 * ASCII are shown as '?'. */
const char *s5_addr_format(const struct s5_addr *addr, char *buf, size_t size);

/* The same kind, address (name: without regard to ASCII case) and port. */
bool s5_addr_equal(const struct s5_addr *a, const struct s5_addr *b);

/* 127.0.0.0/8, ::1, and the unspecified addresses, which Linux connects to itself. */
bool s5_addr_is_loopback(const struct s5_addr *addr);

/* 0.0.0.0 or ::, in whose place Linux sends to the loopback address; and what it makes of ADDR then. */
static inline bool s5_addr_is_unspecified(const struct s5_addr *addr)
{
    static const uint8_t zeros[16];
    return (addr->kind == S5_ADDR_IPV4 || addr->kind == S5_ADDR_IPV6) && memcmp(addr->octets, zeros, sizeof zeros) == 0;
}
void s5_addr_become_loopback(struct s5_addr *addr);
/* BND.ADDR of a reply that names no host a datagram or a connection could be sent to. */
static inline bool s5_addr_says_nothing(const struct s5_addr *addr)
{
    return (addr->kind != S5_ADDR_IPV4 && addr->kind != S5_ADDR_IPV6) || s5_addr_is_unspecified(addr);
}

/* 224.0.0.0/4, 255.255.255.255, ff00::/8. */
bool s5_addr_is_multicast(const struct s5_addr *addr);

/* Whether the first BITS (0..128) of two addresses of 16 octets, of which that many are set, agree. */
static inline bool s5_addr_same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    uint32_t x, y;
    for (; bits >= 32; bits -= 32, a += 4, b += 4)
        if (memcmp(a, b, 4) != 0)
            return false;
    if (bits == 0)
        return true;
    memcpy(&x, a, 4);
    memcpy(&y, b, 4);
    return ntohl(x ^ y) >> (32 - bits) == 0;
}

#endif

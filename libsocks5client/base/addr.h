/* Addresses: an IPv4 or IPv6 address or a domain name, with a port; conversions to and from text and struct
 * sockaddr. Makes no system call. */
#ifndef S5_ADDR_H
#define S5_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Longest domain name of RFC 1928, in octets. Size of the longest text of s5_addr_format(), including brackets,
 * colon, five digits and the NUL. */
#define S5_ADDR_NAME_MAX 255
#define S5_ADDR_TEXT_MAX 272

enum s5_addr_kind {
    S5_ADDR_NONE = 0, /* not set */
    S5_ADDR_IPV4,     /* octets[0..3] */
    S5_ADDR_IPV6,     /* octets[0..15]; never IPv4-mapped, see s5_addr_from_sockaddr() */
    S5_ADDR_NAME,     /* name: name_len octets and a NUL */
};

/* Contains no pointers: it may be in memory shared by processes. */
struct s5_addr {
    uint8_t kind;     /* enum s5_addr_kind */
    uint8_t name_len; /* octets of name before its NUL; 0 for other kinds */
    uint16_t port;    /* host byte order */
    uint32_t scope;   /* sin6_scope_id; 0 unless IPv6 link-local */
    union {
        uint8_t octets[16]; /* network byte order */
        char name[S5_ADDR_NAME_MAX + 1];
    };
};

/* Sets RET from LEN octets in network byte order: 4 (IPv4) or 16 (IPv6). An IPv4-mapped address becomes IPv4. */
void s5_addr_from_octets(struct s5_addr *ret, const uint8_t *octets, size_t len, uint16_t port);

/* Converts an AF_INET or AF_INET6 address of LEN octets. An IPv4-mapped address becomes IPv4. Returns 0, -EINVAL
 * (too short for its family) or -EAFNOSUPPORT (another family). */
int s5_addr_from_sockaddr(struct s5_addr *ret, const struct sockaddr *sa, socklen_t len);

/* Converts ADDR for a socket of FAMILY. An IPv4 address for AF_INET6 is written IPv4-mapped. Returns 0 or
 * -EAFNOSUPPORT (a name, or IPv6 for AF_INET). */
int s5_addr_to_sockaddr(const struct s5_addr *addr, int family, struct sockaddr_storage *ret, socklen_t *ret_len);

/* Parses TEXT of LEN octets, without NUL: an IPv4 or IPv6 literal, or else a name. Brackets around an IPv6 literal
 * are allowed, a %scope is not. A name has 1 to 255 octets of printable ASCII without space, slash or colon and
 * does not begin with '['. Returns 0 or -EINVAL. */
int s5_addr_parse(struct s5_addr *ret, const char *text, size_t len, uint16_t port);

/* Formats ADDR as "192.0.2.1:80", "[2001:db8::1]:80" or "name:80", S5_ADDR_NONE as "unknown:80". The text is cut to
 * SIZE and always NUL-terminated. Octets of a name that are not printable ASCII are shown as '?'. Returns BUF. */
const char *s5_addr_format(const struct s5_addr *addr, char *buf, size_t size);

/* Whether A and B have the same kind, address and port. Names are compared without regard to ASCII case. */
bool s5_addr_equal(const struct s5_addr *a, const struct s5_addr *b);

/* Whether ADDR is in 127.0.0.0/8, ::1 or unspecified. Linux connects an unspecified address to the loopback
 * address. */
bool s5_addr_is_loopback(const struct s5_addr *addr);

/* s5_addr_is_unspecified(): whether ADDR is 0.0.0.0 or ::. Linux sends to the loopback address instead.
 * s5_addr_become_loopback() sets ADDR to that address. */
static inline bool s5_addr_is_unspecified(const struct s5_addr *addr)
{
    static const uint8_t zeros[16];
    return (addr->kind == S5_ADDR_IPV4 || addr->kind == S5_ADDR_IPV6) && memcmp(addr->octets, zeros, sizeof zeros) == 0;
}
void s5_addr_become_loopback(struct s5_addr *addr);
/* Whether ADDR, the BND.ADDR of a reply, names no host that a datagram or a connection can be sent to. */
static inline bool s5_addr_says_nothing(const struct s5_addr *addr)
{
    return (addr->kind != S5_ADDR_IPV4 && addr->kind != S5_ADDR_IPV6) || s5_addr_is_unspecified(addr);
}

/* Whether ADDR is in 224.0.0.0/4 or ff00::/8, or is 255.255.255.255. */
bool s5_addr_is_multicast(const struct s5_addr *addr);

/* Whether the first BITS bits (0..128) of A and B agree. Both have at least that many bits, in network byte order. */
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

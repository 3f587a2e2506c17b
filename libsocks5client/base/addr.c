/* Conversions between the three forms of an address: struct sockaddr, text and struct s5_addr. An IPv4-mapped IPv6
 * address (::ffff:0:0/96) becomes IPv4 in every conversion to struct s5_addr. One destination therefore has one
 * form, and rules need not handle two. */
#include "addr.h"
#include "log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

void s5_addr_from_octets(struct s5_addr *ret, const uint8_t *octets, size_t len, uint16_t port)
{
    bool mapped = len == 16 && memcmp(octets, mapped_prefix, sizeof mapped_prefix) == 0;
    ret->kind = len == 4 || mapped ? S5_ADDR_IPV4 : S5_ADDR_IPV6;
    ret->name_len = 0;
    ret->port = port;
    ret->scope = 0;
    if (ret->kind == S5_ADDR_IPV6) {
        memcpy(ret->octets, octets, 16);
    } else {
        memset(ret->octets, 0, 16);
        memcpy(ret->octets, octets + (mapped ? sizeof mapped_prefix : 0), 4);
    }
}

static int read_sockaddr_in6(struct s5_addr *ret, const struct sockaddr *sa, socklen_t len)
{
    /* The kernel accepts an address without sin6_scope_id, the structure of RFC 2133. */
    struct sockaddr_in6 in6 = {0};
    if (len < offsetof(struct sockaddr_in6, sin6_scope_id))
        return -EINVAL;
    memcpy(&in6, sa, len < sizeof in6 ? offsetof(struct sockaddr_in6, sin6_scope_id) : sizeof in6);
    s5_addr_from_octets(ret, in6.sin6_addr.s6_addr, 16, ntohs(in6.sin6_port));
    if (IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&in6.sin6_addr))
        ret->scope = in6.sin6_scope_id;
    return 0;
}

int s5_addr_from_sockaddr(struct s5_addr *ret, const struct sockaddr *sa, socklen_t len)
{
    sa_family_t family;
    if (!sa || len < sizeof family)
        return -EINVAL;
    /* memcpy() instead of a member access: an application's address may be unaligned. */
    memcpy(&family, (const char *)sa + offsetof(struct sockaddr, sa_family), sizeof family);
    if (family == AF_INET6)
        return read_sockaddr_in6(ret, sa, len);
    if (family != AF_INET)
        return -EAFNOSUPPORT;
    struct sockaddr_in in;
    if (len < sizeof in)
        return -EINVAL;
    memcpy(&in, sa, sizeof in);
    s5_addr_from_octets(ret, (const uint8_t *)&in.sin_addr, 4, ntohs(in.sin_port));
    return 0;
}

int s5_addr_to_sockaddr(const struct s5_addr *addr, int family, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    bool ipv4 = addr->kind == S5_ADDR_IPV4;
    if (!(family == AF_INET && ipv4) && !(family == AF_INET6 && (ipv4 || addr->kind == S5_ADDR_IPV6)))
        return -EAFNOSUPPORT;
    memset(ret, 0, sizeof *ret);
    if (family == AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
        memcpy(&in.sin_addr, addr->octets, 4);
        memcpy(ret, &in, sizeof in);
        *ret_len = sizeof in;
        return 0;
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
    if (ipv4) {
        memcpy(in6.sin6_addr.s6_addr, mapped_prefix, sizeof mapped_prefix);
        memcpy(in6.sin6_addr.s6_addr + sizeof mapped_prefix, addr->octets, 4);
    } else {
        memcpy(in6.sin6_addr.s6_addr, addr->octets, 16);
        in6.sin6_scope_id = addr->scope;
    }
    memcpy(ret, &in6, sizeof in6);
    *ret_len = sizeof in6;
    return 0;
}

/* Parses TEXT of LEN octets as a literal of FAMILY into OCTETS. TEXT contains no NUL; inet_pton() needs one. */
static bool parse_literal(int family, const char *text, size_t len, uint8_t *octets)
{
    char copy[INET6_ADDRSTRLEN];
    if (len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return inet_pton(family, copy, octets) == 1;
}

/* Parses a domain name. Text that begins with a bracket or contains a colon was meant as an address and is
 * rejected. A slash is rejected too. */
static int parse_name(struct s5_addr *ret, const char *text, size_t len, uint16_t port)
{
    if (len > S5_ADDR_NAME_MAX || text[0] == '[' || memchr(text, ':', len) || memchr(text, '/', len))
        return -EINVAL;
    ret->kind = S5_ADDR_NAME;
    ret->name_len = (uint8_t)len;
    ret->port = port;
    ret->scope = 0;
    memcpy(ret->name, text, len);
    ret->name[len] = '\0';
    return 0;
}

int s5_addr_parse(struct s5_addr *ret, const char *text, size_t len, uint16_t port)
{
    uint8_t octets[16];
    if (len == 0)
        return -EINVAL;
    for (size_t i = 0; i < len; i++)
        if (text[i] <= 0x20 || text[i] >= 0x7f)
            return -EINVAL;
    bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (brackets ? parse_literal(AF_INET6, text + 1, len - 2, octets) : parse_literal(AF_INET6, text, len, octets))
        s5_addr_from_octets(ret, octets, 16, port);
    else if (parse_literal(AF_INET, text, len, octets))
        s5_addr_from_octets(ret, octets, 4, port);
    else
        return parse_name(ret, text, len, port);
    return 0;
}

const char *s5_addr_format(const struct s5_addr *addr, char *buf, size_t size)
{
    char text[INET6_ADDRSTRLEN];
    const uint8_t *o = addr->octets;
    switch (addr->kind) {
    case S5_ADDR_IPV4:
        s5_format(buf, size, "%u.%u.%u.%u:%u", o[0], o[1], o[2], o[3], addr->port);
        break;
    case S5_ADDR_IPV6:
        s5_format(buf, size, "[%s]:%u", inet_ntop(AF_INET6, o, text, sizeof text), addr->port);
        break;
    case S5_ADDR_NAME:
        s5_format(buf, size, "%.*s:%u", (int)addr->name_len, addr->name, addr->port);
        for (size_t i = 0; i < addr->name_len && i + 1 < size && buf[i]; i++)
            if (buf[i] < 0x20 || buf[i] >= 0x7f)
                buf[i] = '?';
        break;
    default:
        s5_format(buf, size, "unknown:%u", addr->port);
        break;
    }
    return buf;
}

static char lower_case(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_same_name(const struct s5_addr *a, const struct s5_addr *b)
{
    if (a->name_len != b->name_len)
        return false;
    for (size_t i = 0; i < a->name_len; i++)
        if (lower_case(a->name[i]) != lower_case(b->name[i]))
            return false;
    return true;
}

bool s5_addr_equal(const struct s5_addr *a, const struct s5_addr *b)
{
    if (a->kind != b->kind || a->port != b->port)
        return false;
    switch (a->kind) {
    case S5_ADDR_IPV4:
        return memcmp(a->octets, b->octets, 4) == 0;
    case S5_ADDR_IPV6:
        return memcmp(a->octets, b->octets, 16) == 0;
    case S5_ADDR_NAME:
        return is_same_name(a, b);
    default:
        return true;
    }
}

bool s5_addr_is_loopback(const struct s5_addr *addr)
{
    static const uint8_t zeros[15];
    switch (addr->kind) {
    case S5_ADDR_IPV4:
        return addr->octets[0] == 127 || memcmp(addr->octets, zeros, 4) == 0;
    case S5_ADDR_IPV6:
        return memcmp(addr->octets, zeros, 15) == 0 && addr->octets[15] <= 1;
    default:
        return false;
    }
}

void s5_addr_become_loopback(struct s5_addr *addr)
{
    addr->octets[0] = addr->kind == S5_ADDR_IPV4 ? 127 : 0;
    addr->octets[addr->kind == S5_ADDR_IPV4 ? 3 : 15] = 1;
}

bool s5_addr_is_multicast(const struct s5_addr *addr)
{
    static const uint8_t ones[4] = {0xff, 0xff, 0xff, 0xff};
    switch (addr->kind) {
    case S5_ADDR_IPV4:
        return addr->octets[0] >> 4 == 14 || memcmp(addr->octets, ones, 4) == 0;
    case S5_ADDR_IPV6:
        return addr->octets[0] == 0xff;
    default:
        return false;
    }
}

/* Parses and builds DNS messages. The name of a question is the first one of its message, so it is never compressed and
 * nothing here follows a compression pointer. */
#include "dns.h"
#include "bytes.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

enum {
    FLAG_QR = 0x8000,
    OPCODE = 0x7800,
    FLAG_TC = 0x0200,
    FLAG_RD = 0x0100,
    FLAG_RA = 0x0080,
};

/* --- reading --- */

/* Reads labels from R into RET, as a name with dots; S5_ADDR_NONE: they do not form a host name. Returns 0 or
 * -EINVAL. */
static int read_name(struct s5_reader *r, struct s5_addr *ret)
{
    char text[S5_ADDR_NAME_MAX + 1];
    size_t used = 0;
    bool plain = true;
    for (uint8_t len; (len = s5_read_u8(r)); used += len) {
        const uint8_t *label = len < 64 ? s5_read_skip(r, len) : NULL;
        if (!label || used + len + 2 > S5_ADDR_NAME_MAX) /* 255 octets on the wire */
            return -EINVAL;
        if (memchr(label, '.', len))
            plain = false;
        if (used)
            text[used++] = '.';
        memcpy(text + used, label, len);
    }
    memset(ret, 0, offsetof(struct s5_addr, octets));
    if (r->failed)
        return -EINVAL;
    struct s5_addr name;
    if (plain && used && s5_addr_parse(&name, text, used, 0) == 0) {
        *ret = name;
        /* "1.2.3.4" is a name in a question */
        ret->kind = S5_ADDR_NAME;
        ret->name_len = (uint8_t)used;
        memcpy(ret->name, text, used);
        ret->name[used] = 0;
    }
    return 0;
}

/* Reads the first record after the question, if it is an OPT record (RFC 6891). */
static void read_opt(struct s5_reader *r, struct s5_dns_query *ret)
{
    uint8_t root = s5_read_u8(r);
    uint16_t type = s5_read_u16(r), udp_size = s5_read_u16(r);
    if (r->failed || root != 0 || type != S5_DNS_OPT)
        return;
    ret->edns = true;
    if (udp_size > S5_DNS_UDP_MAX)
        ret->capacity = udp_size;
}

int s5_dns_read(const uint8_t *msg, size_t len, struct s5_dns_query *ret)
{
    struct s5_reader r = s5_reader_init(msg, len);
    uint16_t id = s5_read_u16(&r), flags = s5_read_u16(&r);
    uint16_t questions = s5_read_u16(&r), answers = s5_read_u16(&r);
    uint16_t authorities = s5_read_u16(&r), more = s5_read_u16(&r);
    if (r.failed || len > S5_DNS_QUERY_MAX || (flags & (FLAG_QR | OPCODE)) || questions != 1 ||
        read_name(&r, &ret->name) < 0)
        return -EINVAL;
    ret->type = s5_read_u16(&r);
    ret->class = s5_read_u16(&r);
    if (r.failed)
        return -EINVAL;
    ret->id = id;
    ret->end = (uint16_t)(len - r.left);
    ret->capacity = S5_DNS_UDP_MAX;
    ret->edns = false;
    if (more && !answers && !authorities)
        read_opt(&r, ret);
    return 0;
}

/* --- writing --- */

static void write_head(struct s5_writer *w, const uint8_t *msg, const struct s5_dns_query *q, unsigned flags,
                       uint16_t answers)
{
    unsigned asked = (unsigned)(msg[2] << 8 | msg[3]) & FLAG_RD;
    s5_write_u16(w, q->id);
    s5_write_u16(w, (uint16_t)(FLAG_QR | FLAG_RA | asked | flags));
    s5_write_u16(w, 1);
    s5_write_u16(w, answers);
    s5_write_u16(w, 0);
    s5_write_u16(w, q->edns);
    s5_write_octets(w, msg + S5_DNS_HEADER, q->end - S5_DNS_HEADER);
}

/* RFC 6891: the answer to a query with an OPT record has an OPT record. */
static void write_opt(struct s5_writer *w, const struct s5_dns_query *q)
{
    static const uint8_t opt[] = {0, 0, S5_DNS_OPT, 0x04, 0xd0, 0, 0, 0, 0, 0, 0};
    if (q->edns)
        s5_write_octets(w, opt, sizeof opt);
}

size_t s5_dns_answer(const uint8_t *msg, const struct s5_dns_query *q, enum s5_dns_rcode rcode, const void *data,
                     size_t len, uint8_t *ret, size_t size)
{
    struct s5_writer w = s5_writer_init(ret, size);
    write_head(&w, msg, q, rcode, data != NULL);
    if (data) {
        s5_write_u16(&w, 0xc000 | S5_DNS_HEADER); /* a pointer to the name of the question */
        s5_write_u16(&w, q->type == S5_DNS_ANY ? S5_DNS_A : q->type);
        s5_write_u16(&w, S5_DNS_IN);
        s5_write_u16(&w, 0);
        s5_write_u16(&w, S5_DNS_TTL);
        s5_write_u16(&w, (uint16_t)len);
        s5_write_octets(&w, data, len);
    }
    write_opt(&w, q);
    return w.failed ? 0 : w.used;
}

size_t s5_dns_cut(const uint8_t *msg, const struct s5_dns_query *q, uint8_t *ret, size_t size)
{
    struct s5_writer w = s5_writer_init(ret, size);
    write_head(&w, msg, q, FLAG_TC, 0);
    write_opt(&w, q);
    return w.failed ? 0 : w.used;
}

int s5_dns_labels(const char *name, size_t len, uint8_t ret[static 256])
{
    struct s5_writer w = s5_writer_init(ret, 255);
    if (len && name[len - 1] == '.')
        len--;
    for (size_t at = 0; at < len;) {
        const char *dot = memchr(name + at, '.', len - at);
        size_t n = dot ? (size_t)(dot - name) - at : len - at;
        if (n == 0 || n > 63 || (dot && at + n + 1 == len))
            return -EINVAL;
        s5_write_u8(&w, (uint8_t)n);
        s5_write_octets(&w, name + at, n);
        at += n + (dot != NULL);
    }
    s5_write_u8(&w, 0);
    return w.failed ? -EINVAL : (int)w.used;
}

int s5_dns_ask(const char *name, uint16_t type, uint16_t class, uint16_t id, uint8_t *ret, size_t size)
{
    uint8_t labels[256];
    int n = s5_dns_labels(name, strnlen(name, 256), labels);
    struct s5_writer w = s5_writer_init(ret, size);
    if (n < 0)
        return n;
    s5_write_u16(&w, id);
    s5_write_u16(&w, FLAG_RD);
    s5_write_u16(&w, 1);
    for (int i = 0; i < 3; i++)
        s5_write_u16(&w, 0);
    s5_write_octets(&w, labels, (size_t)n);
    s5_write_u16(&w, type);
    s5_write_u16(&w, class);
    return w.failed ? -ENOSPC : (int)w.used;
}

/* --- addresses as names --- */

/* Returns the length of NAME without SUFFIX, which begins with a dot; 0: NAME does not end with SUFFIX. */
static size_t get_length_without_suffix(const struct s5_addr *name, const char *suffix)
{
    size_t n = strlen(suffix);
    bool ends = name->name_len > n && strncasecmp(name->name + name->name_len - n, suffix, n) == 0;
    return ends ? name->name_len - n : 0;
}

static bool parse_reverse_ipv4(const char *text, size_t len, uint8_t octets[4])
{
    size_t at = 0;
    for (int i = 3; i >= 0; i--) {
        unsigned value = 0, digits = 0;
        for (; at < len && text[at] >= '0' && text[at] <= '9' && digits < 3; at++, digits++)
            value = value * 10 + (unsigned)(text[at] - '0');
        if (!digits || value > 255 || (i && (at >= len || text[at++] != '.')))
            return false;
        octets[i] = (uint8_t)value;
    }
    return at == len;
}

static int parse_nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_reverse_ipv6(const char *text, size_t len, uint8_t octets[16])
{
    if (len != 63)
        return false;
    memset(octets, 0, 16);
    for (unsigned i = 0; i < 32; i++) {
        int value = parse_nibble(text[2 * i]);
        if (value < 0 || (i < 31 && text[2 * i + 1] != '.'))
            return false;
        octets[15 - i / 2] |= (uint8_t)(value << (i % 2 * 4));
    }
    return true;
}

bool s5_dns_reverse(const struct s5_addr *name, struct s5_addr *ret)
{
    uint8_t octets[16];
    size_t len;
    if (name->kind != S5_ADDR_NAME)
        return false;
    if ((len = get_length_without_suffix(name, ".in-addr.arpa")) && parse_reverse_ipv4(name->name, len, octets))
        s5_addr_from_octets(ret, octets, 4, 0);
    else if ((len = get_length_without_suffix(name, ".ip6.arpa")) && parse_reverse_ipv6(name->name, len, octets))
        s5_addr_from_octets(ret, octets, 16, 0);
    else
        return false;
    return true;
}

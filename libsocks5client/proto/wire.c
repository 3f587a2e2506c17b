/* Message layouts only: the session decides what an answer means. Readers check the octets in order, so that a
 * wrong VER is found from one octet, before the rest arrives. */
#include "wire.h"
#include <errno.h>
#include <string.h>

void s5_wire_write_greeting(struct s5_writer *w, const uint8_t *methods, uint8_t n_methods)
{
    uint8_t *at = s5_write_skip(w, 2U + n_methods);
    if (!at)
        return;
    *at++ = S5_WIRE_VER;
    *at++ = n_methods;
    for (unsigned i = 0; i < n_methods; i++) /* few: cheaper than a call of memcpy() */
        at[i] = methods[i];
}

void s5_wire_write_userpass(struct s5_writer *w, const char *username, uint8_t username_len, const char *password,
                            uint8_t password_len)
{
    s5_write_u8(w, S5_WIRE_USERPASS_VER);
    s5_write_u8(w, username_len);
    s5_write_octets(w, username, username_len);
    s5_write_u8(w, password_len);
    s5_write_octets(w, password, password_len);
}

/* The octets of ATYP, address and port. */
static inline size_t get_address_len(const struct s5_addr *addr)
{
    if (addr->kind == S5_ADDR_NAME)
        return 1 + 1 + (size_t)addr->name_len + 2;
    return 1 + (addr->kind == S5_ADDR_IPV6 ? 16 : 4) + 2;
}

/* AT has space for all of them. */
static inline void put_address(uint8_t *at, const struct s5_addr *addr)
{
    switch (addr->kind) {
    case S5_ADDR_IPV6:
        *at++ = S5_WIRE_IPV6;
        memcpy(at, addr->octets, 16);
        at += 16;
        break;
    case S5_ADDR_NAME:
        *at++ = S5_WIRE_NAME;
        *at++ = addr->name_len;
        memcpy(at, addr->name, addr->name_len);
        at += addr->name_len;
        break;
    default:
        *at++ = S5_WIRE_IPV4;
        memcpy(at, addr->kind == S5_ADDR_IPV4 ? addr->octets : (const uint8_t[4]){0}, 4);
        at += 4;
        break;
    }
    at[0] = (uint8_t)(addr->port >> 8);
    at[1] = (uint8_t)addr->port;
}

void s5_wire_write_address(struct s5_writer *w, const struct s5_addr *addr)
{
    uint8_t *at = s5_write_skip(w, get_address_len(addr));
    if (at)
        put_address(at, addr);
}

void s5_wire_write_request(struct s5_writer *w, uint8_t command, const struct s5_addr *dst)
{
    uint8_t *at = s5_write_skip(w, 3 + get_address_len(dst));
    if (!at)
        return;
    at[0] = S5_WIRE_VER;
    at[1] = command;
    at[2] = 0;
    put_address(at + 3, dst);
}

int s5_wire_read_selection(struct s5_reader *r, uint8_t *ret_method)
{
    uint8_t ver = s5_read_u8(r);
    if (!r->failed && ver != S5_WIRE_VER)
        return -EPROTO;
    uint8_t method = s5_read_u8(r);
    if (r->failed)
        return -EAGAIN;
    *ret_method = method;
    return 0;
}

int s5_wire_read_status(struct s5_reader *r, uint8_t *ret_ver, uint8_t *ret_status)
{
    uint8_t ver = s5_read_u8(r);
    if (!r->failed && ver != S5_WIRE_USERPASS_VER && ver != S5_WIRE_VER)
        return -EPROTO;
    uint8_t status = s5_read_u8(r);
    if (r->failed)
        return -EAGAIN;
    *ret_ver = ver;
    *ret_status = status;
    return 0;
}

/* Sets RET to NAME of LEN octets, as received. */
static int set_name(struct s5_addr *ret, const uint8_t *name, size_t len, uint16_t port)
{
    if (memchr(name, 0, len)) /* C string functions would see another name */
        return -EPROTO;
    ret->kind = len ? S5_ADDR_NAME : S5_ADDR_NONE;
    ret->name_len = (uint8_t)len;
    ret->port = port;
    ret->scope = 0;
    memcpy(ret->name, name, len);
    ret->name[len] = '\0';
    return 0;
}

int s5_wire_read_address(struct s5_reader *r, struct s5_addr *ret)
{
    uint8_t atyp = s5_read_u8(r);
    if (r->failed)
        return -EAGAIN;
    if (atyp != S5_WIRE_IPV4 && atyp != S5_WIRE_IPV6 && atyp != S5_WIRE_NAME)
        return -EPROTO;
    size_t len = atyp == S5_WIRE_IPV4 ? 4 : atyp == S5_WIRE_IPV6 ? 16 : s5_read_u8(r);
    const uint8_t *octets = s5_read_skip(r, len);
    uint16_t port = s5_read_u16(r);
    if (r->failed)
        return -EAGAIN;
    if (atyp == S5_WIRE_NAME)
        return set_name(ret, octets, len, port);
    s5_addr_from_octets(ret, octets, len, port);
    return 0;
}

int s5_wire_reply_len(const uint8_t *reply, size_t n)
{
    if (n > 0 && reply[0] != S5_WIRE_VER)
        return -EPROTO;
    if (n < 4)
        return S5_WIRE_REPLY_MIN;
    switch (reply[3]) {
    case S5_WIRE_IPV4:
        return 4 + 4 + 2;
    case S5_WIRE_IPV6:
        return 4 + 16 + 2;
    case S5_WIRE_NAME:
        return n == 4 ? S5_WIRE_REPLY_MIN : 4 + 1 + reply[4] + 2;
    default:
        return -EPROTO;
    }
}

int s5_wire_take_reply(const uint8_t *reply, size_t len, uint8_t *ret_rep, struct s5_addr *ret_bound)
{
    uint16_t port = (uint16_t)(reply[len - 2] << 8 | reply[len - 1]);
    int result = 0;
    if (reply[3] == S5_WIRE_NAME)
        result = set_name(ret_bound, reply + 5, len - 7, port);
    else
        s5_addr_from_octets(ret_bound, reply + 4, len - 6, port);
    if (result == 0)
        *ret_rep = reply[1]; /* [2] is RSV: some servers send a value other than 00 */
    return result;
}

int s5_wire_read_reply(struct s5_reader *r, uint8_t *ret_rep, struct s5_addr *ret_bound)
{
    int len = s5_wire_reply_len(r->at, r->left);
    if (len < 0)
        return len;
    const uint8_t *reply = s5_read_skip(r, (size_t)len);
    return reply ? s5_wire_take_reply(reply, (size_t)len, ret_rep, ret_bound) : -EAGAIN;
}

/* Layouts and nothing else: what an answer means is the session's to decide. Readers look at each
 * octet in turn, so that a wrong VER is known from one octet, before the rest is waited for. */
#include "wire.h"
#include <errno.h>
#include <string.h>

void s5_wire_write_greeting(struct s5_writer *w, const uint8_t *methods, uint8_t n_methods)
{
    s5_write_u8(w, S5_WIRE_VER);
    s5_write_u8(w, n_methods);
    s5_write_octets(w, methods, n_methods);
}

void s5_wire_write_userpass(struct s5_writer *w, const char *username, uint8_t username_len,
                            const char *password, uint8_t password_len)
{
    s5_write_u8(w, S5_WIRE_USERPASS_VER);
    s5_write_u8(w, username_len);
    s5_write_octets(w, username, username_len);
    s5_write_u8(w, password_len);
    s5_write_octets(w, password, password_len);
}

void s5_wire_write_address(struct s5_writer *w, const struct s5_addr *addr)
{
    static const uint8_t unspecified[4];
    switch (addr->kind) {
    case S5_ADDR_IPV6:
        s5_write_u8(w, S5_WIRE_IPV6);
        s5_write_octets(w, addr->octets, 16);
        break;
    case S5_ADDR_NAME:
        s5_write_u8(w, S5_WIRE_NAME);
        s5_write_u8(w, addr->name_len);
        s5_write_octets(w, addr->name, addr->name_len);
        break;
    default:
        s5_write_u8(w, S5_WIRE_IPV4);
        s5_write_octets(w, addr->kind == S5_ADDR_IPV4 ? addr->octets : unspecified, 4);
        break;
    }
    s5_write_u16(w, addr->port);
}

void s5_wire_write_request(struct s5_writer *w, uint8_t command, const struct s5_addr *dst)
{
    s5_write_u8(w, S5_WIRE_VER);
    s5_write_u8(w, command);
    s5_write_u8(w, 0);
    s5_wire_write_address(w, dst);
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

/* NAME of LEN octets from the wire. */
static int set_name(struct s5_addr *ret, const uint8_t *name, size_t len, uint16_t port)
{
    if (memchr(name, 0, len)) /* would be another name to all who read it as a C string */
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
    uint8_t octets[S5_ADDR_NAME_MAX], len, atyp = s5_read_u8(r);
    if (r->failed)
        return -EAGAIN;
    switch (atyp) {
    case S5_WIRE_IPV4:
        len = 4;
        break;
    case S5_WIRE_IPV6:
        len = 16;
        break;
    case S5_WIRE_NAME:
        len = s5_read_u8(r);
        break;
    default:
        return -EPROTO;
    }
    s5_read_octets(r, octets, len);
    uint16_t port = s5_read_u16(r);
    if (r->failed)
        return -EAGAIN;
    if (atyp == S5_WIRE_NAME)
        return set_name(ret, octets, len, port);
    s5_addr_from_octets(ret, octets, len, port);
    return 0;
}

int s5_wire_read_reply(struct s5_reader *r, uint8_t *ret_rep, struct s5_addr *ret_bound)
{
    uint8_t ver = s5_read_u8(r);
    if (!r->failed && ver != S5_WIRE_VER)
        return -EPROTO;
    uint8_t rep = s5_read_u8(r);
    s5_read_u8(r); /* RSV: servers exist that leave something else than 00 in it */
    if (r->failed)
        return -EAGAIN;
    int result = s5_wire_read_address(r, ret_bound);
    if (result == 0)
        *ret_rep = rep;
    return result;
}

size_t s5_wire_reply_len(const uint8_t *reply, size_t n)
{
    if (n > 3 && reply[3] == S5_WIRE_IPV4)
        return 4 + 4 + 2;
    if (n > 3 && reply[3] == S5_WIRE_IPV6)
        return 4 + 16 + 2;
    if (n > 4 && reply[3] == S5_WIRE_NAME)
        return 4 + 1 + (size_t)reply[4] + 2;
    return S5_WIRE_REPLY_MIN;
}

/* A client may send its messages all at once or octet by octet. Each message is processed when it is complete. */
#include "front.h"
#include "bytes.h"
#include "reply.h"
#include "session.h"
#include "wire.h"
#include <errno.h>

void front_start(struct front *f)
{
    f->state = FRONT_GREETING;
    f->command = 0;
    f->server = -1;
    f->identified = false;
    f->mark = S5_REPLY_PLAIN;
    f->marks = false;
    f->in_at = f->in_len = f->out_len = 0;
    f->dst.kind = S5_ADDR_NONE;
}

static void append_octets(struct front *f, uint8_t ver, uint8_t what)
{
    f->out[f->out_len++] = ver;
    f->out[f->out_len++] = what;
}

/* Returns true if SECRET and GIVEN are equal. The time it takes depends only on LEN. */
static bool is_same_secret(const char *secret, size_t secret_len, const uint8_t *given, size_t len)
{
    uint8_t differ = secret_len != len;
    for (size_t i = 0; i < len; i++)
        differ |= (uint8_t)secret[secret_len ? i % secret_len : 0] ^ given[i];
    return !differ;
}

/* Removes ".INDEX" from the end of the user name USER, which has *LEN octets. Returns INDEX, or -1 if there is none. */
static int remove_index(const uint8_t *user, uint8_t *len)
{
    int index = 0, digits = 0, scale = 1;
    while (digits < 3 && *len && user[*len - 1] >= '0' && user[*len - 1] <= '9') {
        index += (user[--*len] - '0') * scale;
        scale *= 10;
        digits++;
    }
    if (!digits || !*len || user[*len - 1] != '.')
        return -1;
    --*len;
    return index;
}

/* Each of these returns 0, -EAGAIN if the message is incomplete, or another negative errno if the client is refused. */

static int read_greeting(struct front *f, struct s5_reader *r, const struct front_users *users)
{
    uint8_t method = users->user ? S5_METHOD_USERPASS : S5_METHOD_NONE;
    uint8_t ver = s5_read_u8(r);
    if (!r->failed && ver != S5_WIRE_VER)
        return -EPROTO;
    uint8_t n = s5_read_u8(r);
    const uint8_t *methods = s5_read_skip(r, n);
    if (r->failed)
        return -EAGAIN;
    bool offered = n && memchr(methods, method, n);
    append_octets(f, S5_WIRE_VER, offered ? method : S5_WIRE_NO_METHOD);
    f->state = users->user ? FRONT_USERPASS : FRONT_REQUEST;
    return offered ? 0 : -EACCES;
}

static int read_userpass(struct front *f, struct s5_reader *r, const struct front_users *users)
{
    uint8_t ver = s5_read_u8(r), n = s5_read_u8(r);
    const uint8_t *user = s5_read_skip(r, n);
    uint8_t m = s5_read_u8(r);
    const uint8_t *password = s5_read_skip(r, m);
    if (f->in_len > f->in_at && ver != S5_WIRE_USERPASS_VER)
        return -EPROTO;
    if (r->failed)
        return -EAGAIN;
    f->identified = users->indexed && s5_isolation_parse(&f->identity, user, n);
    if (f->identified)
        n = (uint8_t)(n - S5_ISOLATION_BRIDGE);
    f->marks = users->indexed;
    int index = users->indexed ? remove_index(user, &n) : 0;
    /* Both are compared in any case, so that the time does not reveal which of them is wrong. */
    bool named = is_same_secret(users->user, strlen(users->user), user, n);
    bool known = is_same_secret(users->password, strlen(users->password), password, m);
    bool right = named && known && index >= 0;
    f->server = (int16_t)(users->indexed && right ? index : -1);
    append_octets(f, S5_WIRE_USERPASS_VER, right ? 0 : 1);
    f->state = FRONT_REQUEST;
    return right ? 0 : -EACCES;
}

/* A request has the layout of a reply. */
static int read_request(struct front *f, struct s5_reader *r)
{
    uint8_t command;
    int result = s5_wire_read_reply(r, &command, &f->dst);
    if (result < 0)
        return result;
    f->command = command;
    f->state = FRONT_ASKED;
    if (command < S5_CONNECT || command > S5_UDP_ASSOCIATE)
        front_reply(f, -EOPNOTSUPP, 0, NULL);
    else if (command == S5_CONNECT && f->dst.kind == S5_ADDR_NONE)
        front_reply(f, -EAFNOSUPPORT, 0, NULL);
    return 0;
}

void front_took(struct front *f, const struct front_users *users, size_t n)
{
    int result = 0;
    f->in_len = (uint16_t)(f->in_len + n);
    while (result == 0 && f->state < FRONT_ASKED) {
        struct s5_reader r = s5_reader_init(f->in + f->in_at, f->in_len - f->in_at);
        switch (f->state) {
        case FRONT_GREETING:
            result = read_greeting(f, &r, users);
            break;
        case FRONT_USERPASS:
            result = read_userpass(f, &r, users);
            break;
        default:
            result = read_request(f, &r);
            break;
        }
        if (result == 0)
            f->in_at = (uint16_t)(f->in_len - r.left);
    }
    if (result < 0 && result != -EAGAIN)
        f->state = FRONT_FAILED;
}

/* Returns the REP that the client side converts back to ERROR. It converts an unassigned REP to EPROTO. */
static uint8_t get_rep(int error)
{
    switch (-error) {
    case EACCES:
        return 2;
    case ENETUNREACH:
        return 3;
    case EHOSTUNREACH:
        return 4;
    case ECONNREFUSED:
        return 5;
    case ETIMEDOUT:
        return 6;
    case EOPNOTSUPP:
        return 7;
    case EAFNOSUPPORT:
        return 8;
    case EPROTO:
        return S5_REPLY_UNASSIGNED;
    default:
        return 1;
    }
}

void front_reply(struct front *f, int error, uint8_t rep, const struct s5_addr *bound)
{
    static const struct s5_addr none = {.kind = S5_ADDR_NONE};
    struct s5_writer w = s5_writer_init(f->out + f->out_len, sizeof f->out - f->out_len);
    rep = error == 0 ? 0 : rep ? rep : get_rep(error);
    s5_wire_write_request(&w, f->marks ? s5_reply_mark(rep, f->mark) : rep, bound ? bound : &none);
    f->out_len = (uint16_t)(f->out_len + w.used);
    if (error < 0)
        f->state = FRONT_FAILED;
}

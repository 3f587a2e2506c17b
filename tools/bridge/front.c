/* Requests come in one flight or octet by octet; each message is taken once it is whole. */
#include "front.h"
#include "bytes.h"
#include "session.h"
#include "wire.h"
#include <errno.h>

void front_start(struct front *f)
{
    f->state = FRONT_GREETING;
    f->command = 0;
    f->server = -1;
    f->identified = false;
    f->in_at = f->in_len = f->out_len = 0;
    f->dst.kind = S5_ADDR_NONE;
}

static void say(struct front *f, uint8_t ver, uint8_t what)
{
    f->out[f->out_len++] = ver;
    f->out[f->out_len++] = what;
}

/* Equal, in a time that depends on nothing but LEN. */
static bool same(const char *secret, size_t secret_len, const uint8_t *given, size_t len)
{
    uint8_t differ = secret_len != len;
    for (size_t i = 0; i < len; i++)
        differ |= (uint8_t)secret[secret_len ? i % secret_len : 0] ^ given[i];
    return !differ;
}

/* Takes ".INDEX" off the end of a user name of *LEN octets; -1: there is none. */
static int take_index(const uint8_t *user, uint8_t *len)
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

/* Each returns 0, -EAGAIN, or anything else for a client that is refused. */

static int take_greeting(struct front *f, struct s5_reader *r, const struct front_users *users)
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
    say(f, S5_WIRE_VER, offered ? method : S5_WIRE_NO_METHOD);
    f->state = users->user ? FRONT_USERPASS : FRONT_REQUEST;
    return offered ? 0 : -EACCES;
}

static int take_userpass(struct front *f, struct s5_reader *r, const struct front_users *users)
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
    int index = users->indexed ? take_index(user, &n) : 0;
    /* Both are compared whatever the first says: the time taken tells nothing. */
    bool named = same(users->user, strlen(users->user), user, n);
    bool known = same(users->password, strlen(users->password), password, m);
    bool right = named && known && index >= 0;
    f->server = (int16_t)(users->indexed && right ? index : -1);
    say(f, S5_WIRE_USERPASS_VER, right ? 0 : 1);
    f->state = FRONT_REQUEST;
    return right ? 0 : -EACCES;
}

/* A request has a reply's layout. */
static int take_request(struct front *f, struct s5_reader *r)
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
            result = take_greeting(f, &r, users);
            break;
        case FRONT_USERPASS:
            result = take_userpass(f, &r, users);
            break;
        default:
            result = take_request(f, &r);
            break;
        }
        if (result == 0)
            f->in_at = (uint16_t)(f->in_len - r.left);
    }
    if (result < 0 && result != -EAGAIN)
        f->state = FRONT_FAILED;
}

/* The REP that the client's side turns into ERROR again; 0x80, which none is assigned to, is
 * EPROTO there. */
static uint8_t rep_of(int error)
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
        return 0x80;
    default:
        return 1;
    }
}

void front_reply(struct front *f, int error, uint8_t rep, const struct s5_addr *bound)
{
    static const struct s5_addr none = {.kind = S5_ADDR_NONE};
    struct s5_writer w = s5_writer_init(f->out + f->out_len, sizeof f->out - f->out_len);
    s5_wire_write_request(&w, error == 0 ? 0 : rep ? rep : rep_of(error), bound ? bound : &none);
    f->out_len = (uint16_t)(f->out_len + w.used);
    if (error < 0)
        f->state = FRONT_FAILED;
}

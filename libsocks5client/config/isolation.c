/* A server's entry says of itself what isolates it, so that whoever negotiates looks nowhere else: a
 * rule with something to say gets a copy of the entry, which differs in that alone. */
#include "isolation.h"
#include "config_values.h"
#include "credentials.h"
#include "siphash.h"
#include <errno.h>
#include <string.h>

#define USERPASS 2 /* RFC 1928's number of the method */
#define GSSAPI   1

/* --- words --- */

/* What identities are told apart by. */
struct circumstances {
    uint64_t server, process;
    uint16_t rule;
    uint8_t word; /* 0 or 1 */
    uint8_t kind; /* of the address */
    uint8_t host[S5_ADDR_NAME_MAX];
};

/* Upper and lower case are one name, and so it is with a dot at its end. */
static void put_name(uint8_t *to, const struct s5_addr *name)
{
    size_t len = name->name_len;
    if (len > 1 && name->name[len - 1] == '.')
        len--;
    for (size_t i = 0; i < len; i++) {
        char c = name->name[i];
        to[i] = (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
}

void s5_isolation_derive(struct s5_identity *ret, const uint64_t key[2],
                         const struct s5_server *server, uint64_t process,
                         const struct s5_addr *to)
{
    struct circumstances c;
    memset(&c, 0, sizeof c); /* what lies between its fields, too */
    c.server = server->isolate_server;
    if (server->isolate & S5_ISOLATE_PROCESS)
        c.process = process;
    if (server->isolate & S5_ISOLATE_RULE)
        c.rule = server->isolate_rule;
    if (server->isolate & S5_ISOLATE_DESTINATION) {
        c.kind = to->kind;
        if (to->kind == S5_ADDR_NAME)
            put_name(c.host, to);
        else if (to->kind != S5_ADDR_NONE)
            memcpy(c.host, to->octets, to->kind == S5_ADDR_IPV4 ? 4 : 16);
    }
    for (c.word = 0; c.word < 2; c.word++)
        ret->words[c.word] = s5_siphash_of(key, &c, sizeof c);
}

/* S5_ISOLATION_WORD digits. */
static void put_word(char *to, uint64_t word)
{
    for (int i = 0; i < S5_ISOLATION_WORD; i++)
        to[i] = "0123456789abcdef"[word >> 4 * i & 15];
}

void s5_isolation_words(struct s5_isolation_words *ret, const struct s5_server *server,
                        const struct s5_identity *identity)
{
    memcpy(ret->username, server->username, server->username_len);
    put_word(ret->username + server->username_len, identity->words[0]);
    ret->username_len = (uint8_t)(server->username_len + S5_ISOLATION_WORD);
    memcpy(ret->password, server->password, server->password_len);
    ret->password_len = server->password_len;
    if (ret->password_len == 0) {
        put_word(ret->password, identity->words[1]);
        ret->password_len = S5_ISOLATION_WORD;
    }
}

void s5_isolation_words_for_bridge(struct s5_isolation_words *ret, const struct s5_server *server,
                                   const struct s5_identity *identity)
{
    s5_isolation_words(ret, server, identity);
    char *at = ret->username + server->username_len;
    *at++ = '.';
    put_word(at, identity->words[0]);
    put_word(at + S5_ISOLATION_WORD, identity->words[1]);
    ret->username_len = (uint8_t)(server->username_len + S5_ISOLATION_BRIDGE);
}

static bool take_word(uint64_t *ret, const uint8_t *at)
{
    uint64_t word = 0;
    for (int i = 0; i < S5_ISOLATION_WORD; i++) {
        int c = at[i], digit = c >= '0' && c <= '9' ? c - '0' : c - 'a' + 10;
        if (digit < 0 || digit > 15 || (c > '9' && c < 'a'))
            return false;
        word |= (uint64_t)digit << 4 * i;
    }
    *ret = word;
    return true;
}

bool s5_isolation_parse(struct s5_identity *ret, const uint8_t *text, size_t len)
{
    const uint8_t *at = text + len - S5_ISOLATION_BRIDGE;
    return len >= S5_ISOLATION_BRIDGE && *at == '.' && take_word(&ret->words[0], at + 1) &&
           take_word(&ret->words[1], at + 1 + S5_ISOLATION_WORD);
}

/* --- the policy --- */

/* Words of SOCKS5_ISOLATE as bits; -EINVAL. */
static int parse_words(const char *text, struct s5_fault *ret_fault)
{
    static const char between[] = ", \t";
    int bits = 0;
    for (const char *at = text + strspn(text, between); *at; at += strspn(at, between)) {
        char word[16] = "";
        size_t len = strcspn(at, between);
        if (len < sizeof word)
            memcpy(word, at, len);
        int bit = s5_config_word("isolate", word);
        if (bit < 0)
            return s5_fault_set(ret_fault, -EINVAL,
                                "SOCKS5_ISOLATE: \"%.*s\" is unknown; it takes none, process, "
                                "destination, rule", (int)len, at);
        bits |= 1 << bit;
        at += len;
    }
    return bits;
}

/* The entry that is SERVER's but for ISOLATE and RULE: there already, or a new one. Its index, or
 * -ENOSPC. */
static int entry(struct s5_policy *p, unsigned server, uint8_t isolate, uint16_t rule)
{
    const struct s5_server *own = &p->servers[server];
    for (unsigned i = 0; i < p->n_servers; i++) {
        const struct s5_server *s = &p->servers[i];
        if (s->name == own->name && s->isolate == isolate && s->isolate_rule == rule)
            return (int)i;
    }
    if (p->n_servers >= S5_POLICY_SERVERS)
        return -ENOSPC;
    struct s5_server *copy = &p->servers[p->n_servers];
    *copy = *own;
    copy->isolate = isolate;
    copy->isolate_rule = rule;
    return (int)p->n_servers++;
}

/* Rule number AT gets the entry that does what it says, or else what its server says. */
static int settle_rule(struct s5_policy *p, unsigned at, struct s5_fault *ret_fault)
{
    struct s5_rule *rule = &p->rules[at];
    if (rule->verdict != S5_VIA)
        return 0;
    uint8_t isolate = rule->isolate ? rule->isolate : p->servers[rule->server].isolate;
    isolate &= (uint8_t)~S5_ISOLATE_NONE;
    int i = entry(p, rule->server, isolate,
                  isolate & S5_ISOLATE_RULE ? (uint16_t)(at + 1) : 0);
    if (i < 0)
        return s5_fault_set(ret_fault, -ENOSPC,
                            "%s:%u: isolation by rule: too many servers and rules: %d is the limit",
                            s5_policy_text(p, p->source), (unsigned)rule->line, S5_POLICY_SERVERS);
    rule->server = (uint8_t)i;
    return 0;
}

static int settle_server(const struct s5_policy *p, struct s5_server *s, struct s5_fault *ret_fault)
{
    if (!s->isolate)
        return 0;
    const char *wrong = NULL;
    if (memchr(s->methods, GSSAPI, s->n_methods))
        wrong = "isolation is by user name, and gssapi is among the methods";
    else if (s->username_len + S5_ISOLATION_WORD > (int)sizeof s->username)
        wrong = "its username leaves no room for a word of 16 octets behind it";
    if (wrong)
        return s5_fault_set(ret_fault, -EINVAL, "%s: server \"%s\": %s",
                            s5_policy_text(p, p->source), s5_policy_text(p, s->name), wrong);
    s->n_methods = 1;
    s->methods[0] = USERPASS;
    return 0;
}

int s5_isolation_settle(struct s5_policy *p, const struct s5_environment *env,
                        struct s5_fault *ret_fault)
{
    int bits = env->isolate ? parse_words(env->isolate, ret_fault) : 0;
    int r = bits < 0 ? bits : 0;
    for (unsigned i = 0; r == 0 && i < p->n_servers; i++) {
        struct s5_server *s = &p->servers[i];
        s->isolate = (s->isolate ? s->isolate : (uint8_t)bits) & (uint8_t)~S5_ISOLATE_NONE;
        s->isolate_server = (uint8_t)i;
    }
    for (unsigned i = 0; r == 0 && i < p->n_rules; i++)
        r = settle_rule(p, i, ret_fault);
    for (unsigned i = 0; r == 0 && i < p->n_servers; i++)
        r = settle_server(p, &p->servers[i], ret_fault);
    return r;
}

/* User names and passwords derived for isolation. A keyed hash (SipHash) of the server, and of the process, rule and
 * destination as far as the server's entry names them, becomes hexadecimal words. The key is random for each run, so
 * that the words reveal nothing. */
#include "isolation.h"
#include "siphash.h"
#include <string.h>

/* --- words --- */

/* The data from which an identity is derived. */
struct identity_input {
    uint64_t server, process;
    uint16_t rule;
    uint8_t word; /* 0 or 1 */
    uint8_t kind; /* of the address */
    uint8_t host[S5_ADDR_NAME_MAX];
};

/* Copies a name in lower case without a final dot: these variants are one name. */
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

void s5_isolation_derive(struct s5_identity *ret, const uint64_t key[2], const struct s5_server *server,
                         uint64_t process, const struct s5_addr *to)
{
    struct identity_input c;
    memset(&c, 0, sizeof c); /* also clears the padding between its fields */
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

/* Writes S5_ISOLATION_WORD digits. */
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

static bool parse_word(uint64_t *ret, const uint8_t *at)
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
    return len >= S5_ISOLATION_BRIDGE && *at == '.' && parse_word(&ret->words[0], at + 1) &&
           parse_word(&ret->words[1], at + 1 + S5_ISOLATION_WORD);
}

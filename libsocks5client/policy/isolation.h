/* Isolation of streams: user names and passwords made for the purpose, that differ where what goes
 * through a server is to be kept apart there. Tor gives each a circuit of its own; other servers an
 * address or a session. */
#ifndef S5_ISOLATION_H
#define S5_ISOLATION_H

#include "policy.h"

#define S5_ISOLATION_WORD 16 /* octets of a derived word: hexadecimal digits */

/* What a connection goes under; told to the server in words that tell nothing else. */
struct s5_identity {
    uint64_t words[2];
};

struct s5_isolation_words {
    uint8_t username_len, password_len;
    char username[255], password[255];
};

/* The identity of what PROCESS sends TO somewhere through SERVER, which is isolated: as much of both as
 * its "isolate" names counts, and of TO the host alone. KEY is the secret of one run, so that
 * nothing is told by the words, not even that two runs went to the same place. */
void s5_isolation_derive(struct s5_identity *ret, const uint64_t key[2], const struct s5_server *server,
                         uint64_t process, const struct s5_addr *to);

/* What SERVER is told of IDENTITY: its own user name with a word behind it, and its own password;
 * where it has none, words for both. */
void s5_isolation_words(struct s5_isolation_words *ret, const struct s5_server *server,
                        const struct s5_identity *identity);

/* The same for the bridge that stands before SERVER (see engine/bridge.h): a dot and both words behind
 * its user name, which s5_isolation_parse takes off again. */
void s5_isolation_words_for_bridge(struct s5_isolation_words *ret, const struct s5_server *server,
                                   const struct s5_identity *identity);
#define S5_ISOLATION_BRIDGE (1 + 2 * S5_ISOLATION_WORD)
/* The last S5_ISOLATION_BRIDGE octets of TEXT, LEN in all, or false: there is no identity in them. */
bool s5_isolation_parse(struct s5_identity *ret, const uint8_t *text, size_t len);

#endif

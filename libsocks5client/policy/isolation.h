/* Isolation of streams: derived user names and passwords, which differ where connections through a server must be
 * kept apart there. Tor gives each pair its own circuit; other servers an address or a session. */
#ifndef S5_ISOLATION_H
#define S5_ISOLATION_H

#include "policy.h"

#define S5_ISOLATION_WORD 16 /* octets of a derived word: hexadecimal digits */

/* The identity of a connection. The words that the server receives for it reveal nothing else. */
struct s5_identity {
    uint64_t words[2];
};

struct s5_isolation_words {
    uint8_t username_len, password_len;
    char username[255], password[255];
};

/* Derives the identity of connections of PROCESS to TO through SERVER, which is isolated. Process, rule and
 * destination count only if the "isolate" of SERVER names them. Only the host of TO counts. KEY is the secret of
 * one run: the words reveal nothing, not even that two runs connected to the same host. */
void s5_isolation_derive(struct s5_identity *ret, const uint64_t key[2], const struct s5_server *server,
                         uint64_t process, const struct s5_addr *to);

/* The credentials that SERVER receives for IDENTITY: its user name followed by a word, and its password. If it has
 * no password, the second word is the password. */
void s5_isolation_words(struct s5_isolation_words *ret, const struct s5_server *server,
                        const struct s5_identity *identity);

/* The same for the bridge in front of SERVER (see resolve/bridge.h): the user name is followed by a dot and both
 * words, which s5_isolation_parse() reads. */
void s5_isolation_words_for_bridge(struct s5_isolation_words *ret, const struct s5_server *server,
                                   const struct s5_identity *identity);
#define S5_ISOLATION_BRIDGE (1 + 2 * S5_ISOLATION_WORD)
/* Reads the identity from the last S5_ISOLATION_BRIDGE octets of TEXT of LEN octets. Returns false if they contain
 * none. */
bool s5_isolation_parse(struct s5_identity *ret, const uint8_t *text, size_t len);

#endif

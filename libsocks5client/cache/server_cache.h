/* What connections have taught about servers: whether a server supports pipelining, and which servers are down. It is a
 * table. The process tree shares one, which socksify keeps in a file; a process that uses the library has one of its
 * own. */
#ifndef S5_SERVER_CACHE_H
#define S5_SERVER_CACHE_H

#include "policy.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define S5_SERVER_CACHE_ENTRIES 64  /* entries of a table */
#define S5_SERVER_CACHE_PATH    256 /* octets of the path of its file, with the NUL */

struct s5_server_cache_entry {
    _Atomic uint64_t key;        /* s5_server_cache_key() of the server; 0: free */
    _Atomic uint64_t down;       /* 0: not down; else when it may be tried again (wall clock, ms) << 8 | N: it was
                                  * down N times in a row */
    _Atomic uint32_t pipelining; /* enum s5_pipelining_support */
    _Atomic uint32_t closed;     /* requests in a row that it answered by closing the connection */
};

/* Whether a server supports a pipelined negotiation. */
enum s5_pipelining_support {
    S5_PIPELINING_UNKNOWN = 0,
    S5_PIPELINING_SUPPORTED,   /* a pipelined negotiation succeeded */
    S5_PIPELINING_UNSUPPORTED, /* a pipelined negotiation failed and then a step-by-step one succeeded */
};

/* Returns the key of a server: a hash of its host, port and user name, or of the keys of a chain's servers. Never 0. */
uint64_t s5_server_cache_key(const struct s5_policy *p, const struct s5_server *server);

enum s5_pipelining_support s5_server_cache_pipelining(const struct s5_server_cache_entry *table, uint64_t key);

/* Sets SUPPORT for KEY in TABLE. A new value is also appended as a line to the file PATH ("": there is none). */
void s5_server_cache_set_pipelining(struct s5_server_cache_entry *table, const char *path, uint64_t key,
                                    enum s5_pipelining_support support);

/* --- servers that are down ---
 *
 * A server that is down is not tried for 1 s, then, after each further failure, for twice as long, 60 s at most. Then
 * one connection tries it. NOW: wall clock, ms. */

enum s5_server_state { S5_SERVER_UP, S5_SERVER_DOWN, S5_SERVER_TO_PROBE };

/* Returns the state of the server KEY. TO_PROBE: it is down, and the caller is the one that may try it; it is so for
 * FOR_MS. */
enum s5_server_state s5_server_cache_try(struct s5_server_cache_entry *table, uint64_t key, uint64_t now,
                                         uint32_t for_ms);

/* Returns how long (ms) KEY will not be tried; 0: it can be. */
uint32_t s5_server_cache_down_for(const struct s5_server_cache_entry *table, uint64_t key, uint64_t now);

/* What is known of a server that is down. */
struct s5_server_down {
    unsigned failures; /* in a row; the number stops at 7 */
    uint64_t last;     /* when it failed last, wall clock, ms */
    uint32_t left;     /* how long it will not be tried, ms; 0: it can be */
};

/* Returns false if KEY is not known to be down. */
bool s5_server_cache_get_down(const struct s5_server_cache_entry *table, uint64_t key, uint64_t now,
                              struct s5_server_down *ret);

/* down: KEY failed. PROBE: the caller tried it as TO_PROBE. Otherwise a server that is known to be down stays as it is,
 * since many connections may fail at the same time. up: KEY works. A change is appended to the file PATH. */
void s5_server_cache_set_down(struct s5_server_cache_entry *table, const char *path, uint64_t key, uint64_t now,
                              bool probe);
void s5_server_cache_set_up(struct s5_server_cache_entry *table, const char *path, uint64_t key);

/* Counts that KEY closed the connection in place of a reply. Returns how many times it did so since it worked. */
uint32_t s5_server_cache_count_closed(struct s5_server_cache_entry *table, uint64_t key);

/* Reads DIRECTORY/servers into TABLE as the next function does, and makes and changes nothing. */
void s5_server_cache_read(struct s5_server_cache_entry *table, const char *directory);

/* Reads DIRECTORY/servers into TABLE, without entries older than a week. Missing directories are made with mode 0700.
 * RET receives the path of the file, for the functions above; "" where it is too long. Failure is silent: it costs
 * time only. */
void s5_server_cache_open(struct s5_server_cache_entry *table, const char *directory,
                          char ret[static S5_SERVER_CACHE_PATH]);

#endif

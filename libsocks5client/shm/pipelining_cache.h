/* The pipelining cache: whether each server supports pipelining. It is a table. The process tree shares one, which
 * socksify keeps in a file; a process that uses the library has one of its own. */
#ifndef S5_PIPELINING_CACHE_H
#define S5_PIPELINING_CACHE_H

#include "policy_file.h"
#include <stdatomic.h>
#include <stdint.h>

#define S5_PIPELINING_CACHE_ENTRIES 64 /* entries of a table */

/* Whether a server supports a pipelined negotiation. */
struct s5_pipelining_cache_entry {
    _Atomic uint64_t key;   /* s5_pipelining_cache_key of the server; 0: free */
    _Atomic uint32_t value; /* enum s5_pipelining_cache_value */
};

enum s5_pipelining_cache_value {
    S5_PIPELINING_UNKNOWN = 0,
    S5_PIPELINING_SUPPORTED,   /* a pipelined negotiation succeeded */
    S5_PIPELINING_UNSUPPORTED, /* a pipelined negotiation failed and then a step-by-step one succeeded */
};

/* Returns the key of a server: a hash of its host and port, never 0. */
uint64_t s5_pipelining_cache_key(const struct s5_policy *p, const struct s5_server *server);

enum s5_pipelining_cache_value s5_pipelining_cache_get(const struct s5_pipelining_cache_entry *table, uint64_t key);

/* Sets VALUE for KEY in TABLE. A new value is also appended as a line to the file PATH ("": there is none). */
void s5_pipelining_cache_set(struct s5_pipelining_cache_entry *table, const char *path, uint64_t key,
                             enum s5_pipelining_cache_value value);

/* Reads DIRECTORY/pipelining into TABLE, without entries older than a week. Missing directories are made with mode
 * 0700. RET receives the path of the file, for s5_pipelining_cache_set(); "" where it is too long. Failure is silent:
 * it costs a round trip only. */
void s5_pipelining_cache_open(struct s5_pipelining_cache_entry *table, const char *directory,
                              char ret[static S5_POLICY_FILE_PATH]);

#endif

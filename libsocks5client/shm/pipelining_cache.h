/* What is known of each server's pipelining: a table, shared by the process tree and kept in a file by socksify, or
 * of a process that uses the library. */
#ifndef S5_PIPELINING_CACHE_H
#define S5_PIPELINING_CACHE_H

#include "policy_file.h"
#include <stdatomic.h>
#include <stdint.h>

#define S5_PIPELINING_CACHE_ENTRIES 64 /* entries of a table */

/* Whether a server takes a pipelined negotiation. */
struct s5_pipelining_cache_entry {
    _Atomic uint64_t key;   /* s5_pipelining_cache_key of the server; 0: free */
    _Atomic uint32_t value; /* enum s5_pipelining_cache_value */
};

enum s5_pipelining_cache_value {
    S5_PIPELINING_UNKNOWN = 0,
    S5_PIPELINING_SUPPORTED,   /* a pipelined negotiation succeeded */
    S5_PIPELINING_UNSUPPORTED, /* a pipelined one failed and then a step-by-step one succeeded */
};

/* One number for a server's host and port; never 0. */
uint64_t s5_pipelining_cache_key(const struct s5_policy *p, const struct s5_server *server);

enum s5_pipelining_cache_value s5_pipelining_cache_get(const struct s5_pipelining_cache_entry *table, uint64_t key);

/* Remember, and add a line to the file PATH; "": there is none. */
void s5_pipelining_cache_set(struct s5_pipelining_cache_entry *table, const char *path, uint64_t key,
                             enum s5_pipelining_cache_value value);

/* Read DIRECTORY/standing (made when missing, mode 0700) into TABLE, forgetting what is older than
 * a week; its path, the file to keep, goes to RET. Failure is silent: it costs a round trip, no more. */
void s5_pipelining_cache_open(struct s5_pipelining_cache_entry *table, const char *directory,
                              char ret[static S5_POLICY_FILE_PATH]);

#endif

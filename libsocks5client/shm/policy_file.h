/* The policy of a process tree, credentials included: a memory file that is sealed against writing once it is whole.
 *
 * Its descriptor is the one behind the tree's (tree.h). Every process maps it privately: what one makes of an entry
 * for itself, the addresses of a server's name or the bridge in front of a server, no other process sees. */
#ifndef S5_POLICY_FILE_H
#define S5_POLICY_FILE_H

#include "policy.h"

#define S5_POLICY_FILE_PATH 256

struct s5_policy_file {
    uint64_t magic;                                  /* tells this layout from any other, see policy_file.c */
    uint64_t fingerprint;                            /* of the environment that the policy was read from */
    char pipelining_cache_path[S5_POLICY_FILE_PATH]; /* file that keeps standings; "" for none */
    struct s5_policy policy;
};

/* A new one, empty, close-on-exec. A descriptor, or -errno. */
int s5_policy_file_create(void);

/* P and the rest go into the file FD, which is sealed. STANDING_PATH: shorter than S5_POLICY_FILE_PATH. 0, or
 * -errno: it is not sealed, and may be written again. One process at a time. */
int s5_policy_file_write(int fd, const struct s5_policy *p, uint64_t fingerprint, const char *pipelining_cache_path);

/* A private mapping of the file FD, or NULL: it is none, is not sealed, is not sound, or there is no memory.
 * FINGERPRINT: what its own has to be; NULL: anything. Where the file is another user's it keeps no standings. */
struct s5_policy_file *s5_policy_file_map(int fd, const uint64_t *fingerprint);
void s5_policy_file_unmap(struct s5_policy_file *file);

/* A mapping that is no file's, all zero, for a policy that nobody else has. NULL: there is no memory. */
struct s5_policy_file *s5_policy_file_private(void);

/* The server INDEX as it was written, whatever a mapping has made of it. False: FD is no such file. */
bool s5_policy_file_server(int fd, unsigned index, struct s5_server *ret);

#endif

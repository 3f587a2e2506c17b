/* The policy of a process tree, credentials included: a memfd that is sealed against writing once it is complete.
 *
 * Its descriptor is the one after that of the shared memory (shm.h). Every process maps it privately: a change that a
 * process makes to an entry, the addresses of a server's name or the bridge in front of a server, is not visible to
 * other processes. */
#ifndef S5_POLICY_FILE_H
#define S5_POLICY_FILE_H

#include "policy.h"
#include "server.h"
#include "server_cache.h"
#include <stddef.h>

struct s5_policy_file {
    uint64_t magic;                               /* identifies this layout, see policy_file.c */
    uint64_t fingerprint;                         /* of the environment that the policy was read from */
    uint32_t generation;                          /* 0: of the file; else a reload made it, see reload/reload.h */
    char server_cache_path[S5_SERVER_CACHE_PATH]; /* file that keeps what is learnt of servers; "": none */
    struct s5_policy policy;
    /* Only where GENERATION is not 0: */
    const struct s5_policy_file *older;             /* what this process used before; it stays mapped */
    struct s5_server configured[S5_POLICY_SERVERS]; /* the servers without the changes of this process */
};

/* Returns the mapping that has POLICY, which is one of a mapping. */
static inline const struct s5_policy_file *s5_policy_file_of(const struct s5_policy *policy)
{
    return (const struct s5_policy_file *)((const char *)policy - offsetof(struct s5_policy_file, policy));
}

/* Returns the policy of GENERATION among FILE and those before it; NULL: this process does not have it. */
static inline const struct s5_policy *s5_policy_file_find(const struct s5_policy_file *file, uint32_t generation)
{
    while (file && file->generation != generation)
        file = file->generation ? file->older : NULL;
    return file ? &file->policy : NULL;
}

/* Makes an empty file, close-on-exec. Returns its descriptor, or -errno. */
int s5_policy_file_create(void);

/* Writes P, FINGERPRINT and SERVER_CACHE_PATH (shorter than S5_SERVER_CACHE_PATH) into the file FD and seals it.
 * Returns 0, or -errno: then the file is not sealed and may be written again. Only one process may do this at a
 * time. */
int s5_policy_file_write(int fd, const struct s5_policy *p, uint64_t fingerprint, const char *server_cache_path);

/* Returns a private mapping of the file FD, or NULL: FD is not such a file, is not sealed or is not sound, or memory is
 * short. FINGERPRINT: the fingerprint that the file must have; NULL: any. The mapping of another user's file has an
 * empty server_cache_path. The caller unmaps it. Preserves errno. */
struct s5_policy_file *s5_policy_file_map(int fd, const uint64_t *fingerprint);
void s5_policy_file_unmap(struct s5_policy_file *file);

/* Returns a mapping without a file, all zeros, for a policy that no other process has. NULL: memory is short. */
struct s5_policy_file *s5_policy_file_private(void);

/* Copies SERVER, an entry of a mapping, into *RET as it is configured, without the changes of any mapping. FD is the
 * file. False: it is not such a file. Preserves errno. */
bool s5_policy_file_server(int fd, const struct s5_server *server, struct s5_server *ret);

#endif

/* The memory file of a process tree: what one process of it learns and the others must know.
 *
 * It holds the addresses of the servers' names, the standing of each server with pipelining, the negotiations in flight
 * (a fork shares them), the true peers of connections handed over an exec, and the stand-ins given for names. Every
 * process maps it; the descriptor is note_inherited so that an exec can map it again. Nothing in it is a pointer. A damaged
 * or foreign file is refused before it is used, and can be neither shrunk nor grown.
 *
 * The policy, which no process may change, is in a file of its own (policy_file.h), whose descriptor always has the
 * next number. */
#ifndef S5_SHM_H
#define S5_SHM_H

#include "bridge_place.h"
#include "exported.h"
#include "fake_pool.h"
#include "negotiation.h"
#include "pipelining_cache.h"
#include "policy_file.h"
#include "stats.h"
#include <stdatomic.h>
#include <stdint.h>

#define S5_SHM_VARIABLE  "SOCKS5_STATE" /* environment: struct s5_shm_location as text */
#define S5_SHM_VALUE_MAX 64

#define S5_SHM_EXPORTS      65536 /* as many as a process has connections; a power of two */
#define S5_SHM_NEGOTIATIONS 16384
#define S5_SHM_LISTENERS    256
#define S5_SHM_RELAYED      256
#define S5_SHM_FDS          2 /* descriptors of a tree, side by side: its own, and its policy's */

/* The addresses that the name of a server of the policy was resolved to. */
struct s5_resolved {
    _Atomic uint32_t state; /* enum in tree.c: empty, being written, ready */
    uint8_t n;
    struct s5_ip addrs[S5_SERVER_ADDRS];
};

/* Whom the processes of the tree called last through a server: who calls may be called back. */
struct s5_last_peer {
    _Atomic uint32_t server; /* enum s5_addr_kind of whom << 16 | index in the policy + 1; 0: nobody
                              * was called */
    _Atomic uint32_t busy;   /* the next two are being written or read */
    uint32_t pid;            /* who called FTP; 0: nobody */
    struct s5_addr ftp;      /* the server of files that will call back */
};

/* A listening socket whose connections come in at a server. All processes that have the socket
 * share it; what each of them holds for itself is in its record. */
struct s5_listener {
    _Atomic uint64_t lock;             /* as a flight's */
    _Atomic uint64_t cookie;           /* SO_COOKIE of the application's socket; 0: free */
    struct s5_references references;   /* of records, of all processes, that name it */
    _Atomic uint32_t serial;           /* of the BIND under way; changes with each */
    uint64_t channel_fd;               /* SO_COOKIE of the socket its descriptors travel in */
    int32_t channel_number;            /* what its number was when this was written */
    uint16_t family;                   /* of the application's socket */
    s5_flag dual;                      /* it takes IPv4 too, being of IPv6 */
    uint16_t backoff;                  /* seconds until a server is asked again that failed; 0: it did not */
    s5_flag bound;                     /* a BIND is under way, NAME is its address; else it is being made, or failed */
    struct s5_endpoint name;           /* what getsockname() tells */
    struct s5_negotiation negotiation; /* the BIND under way; session is at or behind its first reply */
};

/* The same for a datagram socket and its association, see associate.h. */
struct s5_exported_association {
    _Atomic uint64_t cookie; /* SO_COOKIE of the program's socket; 0: free; written last */
    uint64_t control_cookie;
    int32_t control; /* the number of its descriptor before the exec, and after it */
    uint32_t server_index;
    uint16_t family;
    s5_flag mixed;
    struct s5_endpoint relay, local, peer;
};

struct s5_shm {
    uint64_t magic;                 /* tells this layout from any other, see tree.c */
    _Atomic uint32_t processes;     /* the last number given to one, see shm/process.h */
    _Atomic uint32_t rcvlowat_used; /* some program has set SO_RCVLOWAT of a socket */
    _Atomic uint32_t passed_ever;   /* a socket of ours was passed: received descriptors are looked at */
    _Atomic uint32_t policy_state;  /* enum in tree.c; the policy can be read once its file is sealed */
    uint64_t policy_inode;          /* of its file; 0: there is none */
    _Atomic uint64_t isolation[2];  /* the secret of this run, see identity.c; 0: not drawn yet */
    struct s5_last_peer last_peer;
    struct s5_pipelining_cache_entry pipelining_cache[S5_PIPELINING_CACHE_ENTRIES];
    _Atomic uint32_t exports_at;                /* hand-overs so far */
    struct s5_exported exports[S5_SHM_EXPORTS]; /* a hash table by cookie */
    struct s5_bridge_place bridge;              /* in front of the servers that may select GSSAPI */
    _Atomic uint32_t relayed_at;                /* next one to overwrite */
    struct s5_exported_association relayed[S5_SHM_RELAYED];
    struct s5_resolved resolved[S5_POLICY_SERVERS];
    _Atomic uint64_t negotiations_free; /* head of the free list: tag << 32 | index + 1 */
    _Atomic uint32_t negotiations_used; /* flights below it were in use at least once */
    _Atomic uint32_t reclaim_at;        /* where the search for abandoned ones goes on */
    struct s5_negotiation negotiations[S5_SHM_NEGOTIATIONS];
    struct s5_stats stats;           /* for socksify --summary */
    _Atomic uint32_t slice;          /* whose numbers POOL gives, see s5_fake_pool_range() */
    struct s5_fake_pool pool;        /* names and their stand-ins */
    _Atomic uint32_t listeners_used; /* listeners below it were in use at least once */
    struct s5_listener listeners[S5_SHM_LISTENERS];
    struct s5_passed passed[S5_SHM_PASSED];
};

/* Where a tree is to be found, as one process tells the next: "FD:INODE:LOST[:a]". */
struct s5_shm_location {
    int fd;         /* of the memory file, FD + 1 the policy's; -1: none */
    uint64_t inode; /* of it */
    uint32_t lost;  /* bit I: slice I + 1 belongs to this tree, or to one that an ancestor lost */
    bool import;    /* connections were handed over to this process */
};

/* A new one, its descriptor high and note_inherited by exec; -1 where no memory file could be had and
 * plain shared memory (good for forks alone) stands in. 0, or -errno. */
int s5_shm_create(struct s5_shm **ret, struct s5_shm_location *ret_place);

/* The one VALUE (of S5_SHM_VARIABLE) names. 0, or -errno: not ours, gone, damaged. RET_PLACE is what VALUE
 * says, zeros where it says nothing. */
int s5_shm_attach(const char *value, struct s5_shm **ret, struct s5_shm_location *ret_place);

/* The value that s5_shm_attach() takes, NUL-terminated. */
void s5_shm_value(const struct s5_shm_location *place, char ret[static S5_SHM_VALUE_MAX]);

/* Whether FD is the memory file of INODE still. Preserves errno. */
bool s5_shm_is(int fd, uint64_t inode);

/* The tree at VALUE is lost to this process: TREE, which takes its place, gives numbers that neither that
 * tree gives nor those do that were lost before. */
void s5_shm_replace(struct s5_shm *shm, struct s5_shm_location *place, uint32_t lost);

/* Whether FD is a number of the tree whose first descriptor is TREE_FD. */
static inline bool s5_shm_has(int shm_fd, int fd)
{
    return shm_fd >= 0 && fd >= shm_fd && fd - shm_fd < S5_SHM_FDS;
}

/* Duplicates of a tree's descriptors, side by side, the first not below FROM: that, or -EMFILE. Neither is closed
 * by an exec. */
int s5_shm_duplicate(int shm_fd, int policy_fd, int from);

/* Whether the policy's descriptor is there still: the program may have closed it where no hook saw it, and have a
 * file of its own under that number. Preserves errno. */
bool s5_shm_has_policy(const struct s5_shm *shm, int shm_fd);

/* A private mapping of the policy, of processes whose environment has FINGERPRINT (NULL: of any), where it was
 * published; the caller's to unmap. TREE_FD: of TREE. */
struct s5_policy_file *s5_shm_policy(const struct s5_shm *shm, int shm_fd, const uint64_t *fingerprint);

/* Publish P, unless another process was first. STANDING_PATH as in s5_policy_file_write(). */
void s5_shm_publish(struct s5_shm *shm, int shm_fd, const struct s5_policy *p, uint64_t fingerprint,
                    const char *pipelining_cache_path);

/* The addresses of SERVER, INDEX in the policy, where a process has resolved its name: false, where none has; and
 * those of SERVER told to the others. */
bool s5_shm_resolved(const struct s5_shm *shm, unsigned index, struct s5_server *server);
void s5_shm_set_resolved(struct s5_shm *shm, unsigned index, const struct s5_server *server);

/* TREE is a copy that nobody else knows yet: what another process was writing when it was made is not there. */
void s5_shm_detach(struct s5_shm *shm);

/* LOCAL: what getsockname() tells; NULL, or len 0, when the kernel does. */
void s5_shm_export(struct s5_shm *shm, uint64_t cookie, const struct s5_endpoint *peer,
                   const struct s5_endpoint *local);
/* True where COOKIE was handed over. */
int s5_shm_exported(const struct s5_shm *shm, uint64_t cookie, struct s5_endpoint *ret_peer,
                    struct s5_endpoint *ret_local);

#endif

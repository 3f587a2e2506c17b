/* The shared state of a process tree: what one process learns and the others need.
 *
 * It holds:
 *   - the addresses of the servers' names;
 *   - what is learnt of servers;
 *   - the negotiations in flight, which a fork shares;
 *   - the true peers of connections that go through an exec;
 *   - the fake addresses assigned to names.
 * Every process maps it. Its descriptor is inherited, so that a program can map it again after an exec. It contains no
 * pointers. A damaged or foreign file is refused before use. The file can be neither shrunk nor grown.
 *
 * The policy, which no process may change, is in a file of its own (policy_file.h). Its descriptor always has the next
 * number. The policies that "socksify --reload" makes are in the shared memory (reload/reload.h). */
#ifndef S5_SHM_H
#define S5_SHM_H

#include "bridge_place.h"
#include "exported.h"
#include "fake_pool.h"
#include "namespaces.h"
#include "negotiation.h"
#include "policy_file.h"
#include "server_cache.h"
#include "stats.h"
#include <stdatomic.h>
#include <stdint.h>

#define S5_SHM_VARIABLE  "SOCKS5_STATE" /* environment: struct s5_shm_location as text */
#define S5_SHM_VALUE_MAX 64

#define S5_SHM_EXPORTS      65536 /* as many as a process has connections; a power of two */
#define S5_SHM_NEGOTIATIONS 16384
#define S5_SHM_LISTENERS    256
#define S5_SHM_RELAYED      256
#define S5_SHM_RELOADED     2
#define S5_SHM_FDS          2 /* descriptors with adjacent numbers: of the shared memory, and of the policy */

/* The addresses that the name of a server of the policy resolved to. */
struct s5_resolved {
    _Atomic uint32_t state; /* enum in shm.c: empty, being written, ready */
    uint8_t n;
    struct s5_ip addrs[S5_SERVER_ADDRS];
};

/* The last peer that a process of the tree connected to through a server: it may connect back. */
struct s5_last_peer {
    _Atomic uint32_t server; /* enum s5_addr_kind of the peer << 16 | index in the policy + 1; 0: no peer yet */
    _Atomic uint32_t busy;   /* the next two are being written or read */
    uint32_t pid;            /* of the process that connected to an FTP server; 0: none */
    struct s5_addr ftp;      /* the FTP server that will connect back */
};

/* A listening socket whose connections come in at a server. All processes that have the socket share it. What is
 * private to a process is in its record. */
struct s5_listener {
    _Atomic uint64_t lock;             /* as a negotiation's */
    _Atomic uint64_t cookie;           /* SO_COOKIE of the application's socket; 0: free */
    struct s5_references references;   /* of records of all processes that name it */
    _Atomic uint32_t serial;           /* of the current BIND; each BIND changes it */
    uint64_t channel_fd;               /* SO_COOKIE of its descriptor channel */
    int32_t channel_number;            /* the channel's descriptor number when this was written */
    uint16_t family;                   /* of the application's socket */
    s5_flag dual;                      /* an IPv6 socket that accepts IPv4 too */
    uint16_t rule;                     /* index + 1, if it has several servers; 0: it has one */
    uint32_t generation;               /* of the policy that has the rule */
    uint16_t backoff;                  /* seconds until the next BIND after a failure; 0: no failure */
    s5_flag bound;                     /* a BIND is active at NAME; else it is being made, or has failed */
    struct s5_endpoint name;           /* the result of getsockname() */
    struct s5_negotiation negotiation; /* the current BIND; its session is at or after the first reply */
};

/* A datagram socket and its association that go through an exec, see udp/association_exec.h. */
struct s5_exported_association {
    _Atomic uint64_t cookie; /* SO_COOKIE of the program's socket; 0: free; written last */
    uint64_t control_cookie;
    int32_t control; /* descriptor number of the control connection, before and after the exec */
    uint32_t server_index;
    uint16_t family;
    s5_flag mixed;
    struct s5_endpoint relay, local, peer;
};

struct s5_shm {
    uint64_t magic;                 /* identifies this layout, see shm.c */
    _Atomic uint32_t processes;     /* the last process number used, see shm/process.h */
    _Atomic uint32_t rcvlowat_used; /* a program has set SO_RCVLOWAT of a socket */
    _Atomic uint32_t passed_ever;   /* a socket of the engine was passed: received descriptors are checked */
    _Atomic uint32_t policy_state;  /* enum in shm.c; the policy can be read once its file is sealed */
    uint64_t policy_inode;          /* of the policy's file; 0: there is none */
    _Atomic uint32_t generation;    /* of the policy, see reload/reload.h; 0: the file has it */
    _Atomic uint64_t isolation[2];  /* the isolation secret of this run, see engine/identity.c; 0: not drawn yet */
    struct s5_last_peer last_peer;
    struct s5_server_cache_entry server_cache[S5_SERVER_CACHE_ENTRIES];
    _Atomic uint32_t exports_at;                /* number of exports so far */
    struct s5_exported exports[S5_SHM_EXPORTS]; /* a hash table by cookie */
    struct s5_bridge_place bridge;              /* in front of the servers that may select GSSAPI */
    struct s5_namespaces namespaces;            /* of programs that the preload object cannot cover */
    _Atomic uint32_t relayed_at;                /* the next of RELAYED to overwrite */
    struct s5_exported_association relayed[S5_SHM_RELAYED];
    struct s5_resolved resolved[S5_POLICY_SERVERS];
    _Atomic uint32_t rounds[S5_POLICY_RULES]; /* flows of each rule with "pick = round-robin" */
    _Atomic uint32_t chain_rounds[S5_POLICY_SERVERS]; /* hops of the connections of each chain with that mode */
    _Atomic uint64_t negotiations_free;       /* head of the free list: tag << 32 | index + 1 */
    _Atomic uint32_t negotiations_used;       /* negotiations below it were in use at least once */
    _Atomic uint32_t reclaim_at;              /* where the search for abandoned negotiations continues */
    struct s5_negotiation negotiations[S5_SHM_NEGOTIATIONS];
    struct s5_stats stats;           /* for socksify --summary */
    _Atomic uint32_t slice;          /* the slice whose numbers POOL assigns, see s5_fake_pool_range() */
    struct s5_fake_pool pool;        /* names and their fake addresses */
    _Atomic uint32_t listeners_used; /* listeners below it were in use at least once */
    struct s5_listener listeners[S5_SHM_LISTENERS];
    struct s5_passed passed[S5_SHM_PASSED];
    _Atomic uint64_t look_due;     /* ns; when the file of the policy is looked at again, see reload/auto_reload.h */
    _Atomic uint64_t file_seen;    /* its version then, see s5_source_version() */
    _Atomic uint64_t file_refused; /* the version that had a mistake */
    struct s5_policy reloaded[S5_SHM_RELOADED]; /* policy number GENERATION is at GENERATION % S5_SHM_RELOADED */
};

/* The location of the shared memory, as one process passes it to the next: "FD:INODE:LOST[:a]". */
struct s5_shm_location {
    int fd;         /* of the shared memory; the policy's is FD + 1; -1: none */
    uint64_t inode; /* of the shared memory */
    uint32_t lost;  /* bit I: slice I + 1 is in use by this shared memory or by one that it or an ancestor replaced */
    bool import;    /* connections were exported to this process */
};

/* Makes shared memory. Its descriptor has a high number and an exec inherits it; FD is -1 where no memfd can be made
 * and anonymous shared memory (only forks share it) is used instead. Returns 0, or -errno. */
int s5_shm_create(struct s5_shm **ret, struct s5_shm_location *ret_place);

/* Maps the shared memory that VALUE (of S5_SHM_VARIABLE) names. Returns 0, or -errno: it is foreign, missing or
 * damaged. RET_PLACE receives the location that VALUE gives; where VALUE is not valid, FD is -1 and the rest is
 * zero. */
int s5_shm_attach(const char *value, struct s5_shm **ret, struct s5_shm_location *ret_place);

/* Writes the value that s5_shm_attach() takes, NUL-terminated. */
void s5_shm_value(const struct s5_shm_location *place, char ret[static S5_SHM_VALUE_MAX]);

/* Returns whether FD still is the shared memory with INODE. Preserves errno. */
bool s5_shm_is(int fd, uint64_t inode);

/* SHM replaces shared memory that this process cannot attach to. Chooses a slice whose numbers are assigned neither by
 * that memory nor by those replaced before (LOST: a bit for each slice in use), and adds it to PLACE. Preserves
 * errno. */
void s5_shm_replace(struct s5_shm *shm, struct s5_shm_location *place, uint32_t lost);

/* Returns whether FD is one of the descriptors of the shared memory, the first of which is SHM_FD. */
static inline bool s5_shm_has(int shm_fd, int fd)
{
    return shm_fd >= 0 && fd >= shm_fd && fd - shm_fd < S5_SHM_FDS;
}

/* Duplicates both descriptors to adjacent numbers, the first not below FROM. An exec inherits the duplicates. Returns
 * the first number, or -EMFILE. */
int s5_shm_duplicate(int shm_fd, int policy_fd, int from);

/* Returns whether the policy's descriptor is still the policy: the program may have closed it where no hook saw it, and
 * may have a file of its own under that number. Preserves errno. */
bool s5_shm_has_policy(const struct s5_shm *shm, int shm_fd);

/* Returns a private mapping of the policy for processes whose environment has FINGERPRINT (NULL: any), or NULL where no
 * such policy was written. SHM_FD is the descriptor of SHM. The caller unmaps it. */
struct s5_policy_file *s5_shm_policy(const struct s5_shm *shm, int shm_fd, const uint64_t *fingerprint);

/* Writes P to the policy's file, unless another process was first. SERVER_CACHE_PATH as in
 * s5_policy_file_write(). */
void s5_shm_publish(struct s5_shm *shm, int shm_fd, const struct s5_policy *p, uint64_t fingerprint,
                    const char *server_cache_path);

/* s5_shm_resolved() copies the addresses of the server INDEX of the policy to SERVER. False: no process has resolved
 * its name, or it has no address. s5_shm_set_resolved() makes those of SERVER visible to the other processes. */
bool s5_shm_resolved(const struct s5_shm *shm, unsigned index, struct s5_server *server);
void s5_shm_set_resolved(struct s5_shm *shm, unsigned index, const struct s5_server *server);
/* Removes the addresses of the server INDEX: the index is now that of another server. */
void s5_shm_forget_resolved(struct s5_shm *shm, unsigned index);

/* Prepares SHM, a copy that no other process knows yet: removes what another process was writing while the copy was
 * made. */
void s5_shm_detach(struct s5_shm *shm);

/* Exports the connection COOKIE for an exec. LOCAL: the result of getsockname(); NULL, or len 0: the kernel's own. */
void s5_shm_export(struct s5_shm *shm, uint64_t cookie, const struct s5_endpoint *peer,
                   const struct s5_endpoint *local);
/* Returns 1 and both addresses where the connection COOKIE was exported, else 0. */
int s5_shm_exported(const struct s5_shm *shm, uint64_t cookie, struct s5_endpoint *ret_peer,
                    struct s5_endpoint *ret_local);

#endif

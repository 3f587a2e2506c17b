/* The engine: BSD socket semantics over SOCKS5, driven through a table of real calls.
 *
 * Every function takes the arguments of the application's call and returns what the system call would return: a result
 * >= 0 or -errno. A hook checks its gate first and calls the engine only for what the engine may handle. */
#ifndef S5_ENGINE_H
#define S5_ENGINE_H

#include "critical.h"
#include "fd_notes.h"
#include "log.h"
#include "process.h"
#include "shm.h"
#include "source.h"
#include "system_calls.h"
#include <errno.h>

struct s5_association;

enum s5_engine_policy_state {
    S5_ENGINE_NO_POLICY = 0, /* not loaded yet */
    S5_ENGINE_LOADING,       /* one thread loads it, the others wait */
    S5_ENGINE_LOADED,
    S5_ENGINE_BROKEN, /* the reason is in fault; all network calls fail */
};

/* For functions that run for each datagram. They are adjacent in memory, because after a system call the first access
 * to another page may cost as much as a hundred instructions. */
#define S5_HOT __attribute__((hot))

/* Callbacks of the set-up; the table is in process/forking.c. */
struct s5_engine_events {
    void (*attached)(struct s5_engine *e); /* the shared state was mapped or created */
    void (*loaded)(struct s5_engine *e);   /* the policy was loaded */
    void (*import)(struct s5_engine *e);   /* the shared state was mapped late: imports what came through an exec */
    void (*follow)(struct s5_engine *e);   /* a reload may have made a policy that this process has not seen */
};

/* What a process that connects for others tells about them. */
struct s5_engine_others {
    uint64_t (*process)(void);          /* a number for the process that the calling thread connects for */
    void (*completes)(uint64_t cookie); /* the negotiation on the socket with this SO_COOKIE has a result */
};

/* All fields may be zero at start, except real, environment, shm and shm_fd. */
struct s5_engine {
    const struct s5_calls *real;
    const struct s5_engine_events *events;
    struct s5_registry registry;
    _Atomic uint32_t pid; /* of the process that the registry belongs to; not of a vfork child */
    struct s5_environment environment;
    struct s5_log log;
    _Atomic uint64_t process;              /* random number of this process, see identity.c; 0: not drawn yet */
    const struct s5_engine_others *others; /* NULL: this process connects for itself */
    char program[16];                      /* log.program points to it */
    bool noted;                            /* connections are logged or counted */
    dev_t stderr_dev;                      /* standard error at start; another file there belongs to the program */
    ino_t stderr_ino;
    struct s5_shm *_Atomic shm;
    bool in_namespace;               /* this process is in a network namespace of the tree, see shm/namespaces.h */
    _Atomic uint32_t process_number; /* number of this process, see shm/process.h; 0: none */
    _Atomic int shm_fd;              /* an internal descriptor; -1: none */
    struct s5_shm_location place;    /* of the shared state, as passed to children */
    _Atomic uint32_t changing;       /* number of threads that are changing user or group IDs, see leave.h */
    _Atomic uint32_t leaving;        /* a thread is leaving the shared state, see leave.h */
    char state[sizeof(S5_SHM_VARIABLE) + 1 + S5_SHM_VALUE_MAX]; /* "SOCKS5_STATE=..." */
    _Atomic int policy_state;                                   /* enum s5_engine_policy_state */
    _Atomic int refusal;                        /* -errno of calls that need the policy while it is not loaded */
    const struct s5_policy *_Atomic policy;     /* in POLICY_FILE; a reload replaces it */
    struct s5_policy_file *_Atomic policy_file; /* mapping of this process; an older one stays mapped */
    bool policy_is_shared; /* it is the policy of the process tree: other processes have the same server numbers */
    /* Of the policy of the process tree; NULL: it is not shared. With "reload = auto" of none, so that each call looks
     * further. */
    const _Atomic uint32_t *_Atomic tree_generation;
    _Atomic uint32_t generation;                     /* the value of it that this process has taken, or refused */
    _Atomic uint32_t following;                      /* a thread takes a newer policy */
    struct s5_lock policy_lock;                      /* for changes of its servers; held briefly */
    _Atomic uint64_t server_keys[S5_POLICY_SERVERS]; /* s5_server_cache_key() of its servers */
    struct s5_fault fault;                           /* why the policy could not be loaded */
    struct s5_dns_client *_Atomic dns_clients;       /* table of dns_client.c, mapped on first use */
    /* Stores the path of socks5-bridge in RET. Returns 0 or -ENOENT. NULL: there is no bridge. */
    int (*bridge_path)(char *ret, size_t size);
    struct s5_association *_Atomic associations; /* pool, see association_pool.h; mapped on first use */
    _Atomic uint32_t associations_top;           /* those below it were in use at least once */
    struct s5_lock associations_lock; /* for the choice of the thread that makes an association; held briefly */
    _Atomic uint64_t no_udp_until[S5_POLICY_SERVERS]; /* ns; set for servers that refused UDP recently */
};

/* Returns the policy. Loads it on first use. NULL: it could not be loaded; nothing is logged. Preserves errno. */
const struct s5_policy *s5_engine_load(struct s5_engine *e);
/* Derives from the policy what the engine uses often. */
void s5_engine_apply_policy(struct s5_engine *e);

/* Returns whether no reload has made a policy that this process has not seen yet. The policy is loaded. */
static inline bool s5_engine_is_current(struct s5_engine *e)
{
    const _Atomic uint32_t *newest = atomic_load_explicit(&e->tree_generation, memory_order_relaxed);
    return __builtin_expect(!newest || atomic_load_explicit(newest, memory_order_relaxed) ==
                                           atomic_load_explicit(&e->generation, memory_order_relaxed),
                            1);
}

/* The same for a call that then fails: the fault is logged each time. */
__attribute__((noinline, cold)) const struct s5_policy *s5_engine_load_or_say(struct s5_engine *e);
static inline const struct s5_policy *s5_engine_policy(struct s5_engine *e)
{
    return atomic_load_explicit(&e->policy_state, memory_order_acquire) == S5_ENGINE_LOADED && s5_engine_is_current(e)
               ? e->policy
               : s5_engine_load_or_say(e);
}

/* Returns true if the server INDEX exists, so that what the program before an exec began there can continue. Loads the
 * policy. */
static inline bool s5_engine_knows(struct s5_engine *e, uint32_t index)
{
    const struct s5_policy *p = s5_engine_policy(e);
    return p && index < p->n_servers;
}

/* Returns false in a child of vfork() or of a plain clone(). Its descriptors are not those in the registry, so it must
 * not change the registry. */
bool s5_engine_owns_memory(struct s5_engine *e);

/* Returns true if standard error is the file that it was at start. */
bool s5_engine_owns_stderr(const struct s5_engine *e);
/* Sets the location of the shared state, for this process, its hooks and its children. */
void s5_engine_set_shm_location(struct s5_engine *e, const struct s5_shm_location *place);
/* Maps the shared state that e->state names, or creates a new one. Its descriptor is an internal one. The caller is
 * in a critical section. Returns 0; 1: there is something to be imported; or -errno: out of memory. Then e->state
 * does not change, and what needs the policy fails until a later attempt succeeds. */
int s5_engine_attach(struct s5_engine *e);
/* Gives this process NUMBER, which was reserved for it in the shared state, or a new number where NUMBER is 0. */
void s5_engine_register(struct s5_engine *e, uint32_t number);
/* Returns true if the process with the number PROCESS has ended. */
static inline bool s5_engine_has_ended(const struct s5_engine *e, uint32_t process)
{
    return s5_process_has_ended(atomic_load(&e->shm_fd), atomic_load(&e->process_number), process);
}

/* The kernel's connect() to an address that the engine has decided on. ADDR is the engine's own copy. Returns 0 or
 * -errno. */
static inline int s5_engine_real_connect(const struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len)
{
    return e->real->keyed_connect(fd, addr, len) == 0 ? 0 : -errno;
}
/* Disconnects FD. Returns 0 or -errno. */
static inline int s5_engine_real_disconnect(const struct s5_engine *e, int fd)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    return s5_engine_real_connect(e, fd, &none, sizeof none);
}

#endif

/* The engine: BSD-socket semantics over SOCKS5, driven through a table of real calls.
 *
 * Every function takes what the application's call took and returns what the kernel's system call
 * would: a result >= 0 or -errno. A door (the preload layer) asks its gate first and
 * only comes here for what may be ours. */
#ifndef S5_ENGINE_H
#define S5_ENGINE_H

#include "critical.h"
#include "fd_notes.h"
#include "log.h"
#include "process.h"
#include "shm.h"
#include "source.h"
#include "system_calls.h"

struct s5_association;

enum s5_engine_policy_state {
    S5_ENGINE_NO_POLICY = 0,
    S5_ENGINE_LOADING, /* one thread reads it, the others wait */
    S5_ENGINE_LOADED,
    S5_ENGINE_BROKEN, /* fault tells why; everything of the network fails */
};

/* Of functions that each datagram runs through: side by side in memory, since after every system
 * call the first step onto another page may cost as much as a hundred instructions. */
#define S5_HOT __attribute__((hot))

/* What follows on what the engine's set-up does; engine_process.c. */
struct s5_engine_events {
    void (*attached)(struct s5_engine *e); /* the memory file was found, or begun */
    void (*loaded)(struct s5_engine *e);   /* the policy is there */
    void (*import)(struct s5_engine *e);   /* the memory file was found late: adopts what came through an exec */
};

/* All of it may be zero at start but real, environment and the tree's two. */
struct s5_engine {
    const struct s5_calls *real;
    const struct s5_engine_events *events;
    struct s5_registry registry;
    _Atomic uint32_t pid; /* of the process the registry belongs to: not that of a vfork child */
    struct s5_environment environment;
    struct s5_log log;
    _Atomic uint64_t process; /* this one among others, see identity.c; 0: not drawn yet */
    char program[16];         /* what log.program names */
    bool noted;               /* direct connections are logged or counted */
    dev_t stderr_dev;         /* what standard error was at start: if it is no more, it is not ours */
    ino_t stderr_ino;
    struct s5_shm *_Atomic shm;
    _Atomic uint32_t process_number; /* this one's number, see shm/process.h */
    _Atomic int shm_fd;              /* hidden from the program; -1: none */
    struct s5_shm_location place;    /* of the tree, as children are told */
    _Atomic uint32_t changing;       /* threads that are changing user or group IDs, see leave.h */
    _Atomic uint32_t leaving;        /* a thread is leaving the tree */
    char state[sizeof(S5_SHM_VARIABLE) + 1 + S5_SHM_VALUE_MAX]; /* "SOCKS5_STATE=..." */
    _Atomic int policy_state;                                   /* enum s5_engine_policy_state */
    _Atomic int refusal;                /* -errno of calls that need the policy, where it could not be had */
    const struct s5_policy *policy;     /* of POLICY_FILE */
    struct s5_policy_file *policy_file; /* this process's mapping of it */
    bool policy_is_shared;      /* it is the tree's: other processes have the same servers under the same numbers */
    struct s5_lock policy_lock; /* of changes to its servers; held for moments alone */
    uint64_t pipelining_cache[S5_POLICY_SERVERS]; /* s5_pipelining_cache_key of its servers */
    struct s5_fault fault;
    struct s5_dns_client *_Atomic dns_clients; /* nameserver_socket.c's table, mapped on first use */
    /* Where socks5-bridge is: its path into RET, 0; -ENOENT. NULL: nowhere. */
    int (*bridge_path)(char *ret, size_t size);
    struct s5_association *_Atomic associations;      /* the pool, see associate.h; mapped on first use */
    _Atomic uint32_t associations_top;                /* those below were in use at least once */
    struct s5_lock associations_lock;                 /* of who asks the server for which; held for moments alone */
    _Atomic uint64_t no_udp_until[S5_POLICY_SERVERS]; /* ns; servers that refused UDP lately */
};

/* The policy, read on first use; NULL when it is broken, without a log line. */
const struct s5_policy *s5_engine_load(struct s5_engine *e);
/* The same for a call that fails for it: logged each time. */
const struct s5_policy *s5_engine_load_or_say(struct s5_engine *e);
static inline const struct s5_policy *s5_engine_policy(struct s5_engine *e)
{
    return atomic_load_explicit(&e->policy_state, memory_order_acquire) == S5_ENGINE_LOADED ? e->policy
                                                                                            : s5_engine_load_or_say(e);
}

/* Whether what the program before this one began at the server INDEX can be carried on: the policy is
 * there from here on. */
static inline bool s5_engine_knows(struct s5_engine *e, uint32_t index)
{
    const struct s5_policy *p = s5_engine_policy(e);
    return p && index < p->n_servers;
}

/* False in a child of vfork (or of a bare clone), whose descriptors are not ours: hands off the registry. */
bool s5_engine_owns_memory(struct s5_engine *e);

/* Standard error is what the process began with. */
bool s5_engine_owns_stderr(const struct s5_engine *e);
/* Where the tree is from now on: the process, its hooks and its children know. */
void s5_engine_set_shm_location(struct s5_engine *e, const struct s5_shm_location *place);
/* In a critical section: the tree that e->state names, or a new one; its descriptor is none of the program's.
 * Where memory is short there is none for now: what needs the policy fails until a later attempt has it, and
 * e->state stays what it is. -errno, or whether there is something to be adopted. */
int s5_engine_attach(struct s5_engine *e);
/* This process has NUMBER in the tree from now on, which was taken for it, or 0: another. */
void s5_engine_register(struct s5_engine *e, uint32_t number);
/* Whether the process of that number has ended. */
static inline bool s5_engine_has_ended(const struct s5_engine *e, uint32_t process)
{
    return s5_process_has_ended(atomic_load(&e->shm_fd), atomic_load(&e->process_number), process);
}

#endif

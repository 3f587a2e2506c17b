/* The engine: BSD-socket semantics over SOCKS5, driven through a table of real calls.
 *
 * Every function takes what the application's call took and returns what the kernel's system call
 * would: a result >= 0 or -errno. A door (the preload layer) asks its gate first and
 * only comes here for what may be ours. */
#ifndef S5_ENGINE_H
#define S5_ENGINE_H

#include "system_calls.h"
#include "critical.h"
#include "log.h"
#include "fd_notes.h"
#include "process.h"
#include "source.h"
#include "shared.h"
#include "poll_select.h"

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
    void (*adopt)(struct s5_engine *e);    /* the memory file was found late: adopts what came through an exec */
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
    char program[16]; /* what log.program names */
    bool noted; /* direct connections are logged or counted */
    dev_t stderr_dev; /* what standard error was at start: if it is no more, it is not ours */
    ino_t stderr_ino;
    struct s5_tree *_Atomic tree;
    _Atomic uint32_t process_number; /* this one's number, see shm/process.h */
    _Atomic int tree_fd; /* hidden from the program; -1: none */
    struct s5_tree_place place;   /* of the tree, as children are told */
    _Atomic uint32_t changing; /* threads that are changing user or group IDs, see leave.h */
    _Atomic uint32_t leaving; /* a thread is leaving the tree */
    char state[sizeof(S5_TREE_VARIABLE) + 1 + S5_TREE_VALUE_MAX]; /* "SOCKS5_STATE=..." */
    _Atomic int policy_state; /* enum s5_engine_policy_state */
    _Atomic int refusal; /* -errno of calls that need the policy, where it could not be had */
    const struct s5_policy *policy; /* of POLICY_FILE */
    struct s5_policy_file *policy_file; /* this process's mapping of it */
    bool policy_is_shared; /* it is the tree's: other processes have the same servers under the same numbers */
    struct s5_lock policy_lock; /* of changes to its servers; held for moments alone */
    uint64_t standings[S5_POLICY_SERVERS]; /* s5_standing_key of its servers */
    struct s5_fault fault;
    struct s5_asker *_Atomic askers; /* nameserver_socket.c's table, mapped on first use */
    /* Where socks5-bridge is: its path into RET, 0; -ENOENT. NULL: nowhere. */
    int (*bridge_path)(char *ret, size_t size);
    struct s5_association *_Atomic associations; /* the pool, see associate.h; mapped on first use */
    _Atomic uint32_t associations_top;           /* those below were in use at least once */
    struct s5_lock associations_lock; /* of who asks the server for which; held for moments alone */
    _Atomic uint64_t no_udp_until[S5_POLICY_SERVERS]; /* ns; servers that refused UDP lately */
};

/* Whether this thread is inside the engine's own set-up (reading the policy, resolving a server's
 * name): calls it makes meanwhile are its own and go to libc. It is so in critical sections alone (quiet.h): no
 * handler of the program finds it set, and none leaves it set by a jump. */
extern __thread int s5_engine_inside __attribute__((tls_model("initial-exec")));

/* Once a process: take up the tree STATE names or begin one. STATE: value of S5_TREE_VARIABLE, or
 * NULL. Never fails: what could not be had makes later calls fail. */
void s5_engine_init(struct s5_engine *e, const struct s5_calls *real, const char *state);

/* The policy, read on first use; NULL when it is broken, without a log line. */
const struct s5_policy *s5_engine_load(struct s5_engine *e);
/* The same for a call that fails for it: logged each time. */
const struct s5_policy *s5_engine_load_or_say(struct s5_engine *e);
static inline const struct s5_policy *s5_engine_policy(struct s5_engine *e)
{
    return atomic_load_explicit(&e->policy_state, memory_order_acquire) == S5_ENGINE_LOADED
               ? e->policy
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
/* Before a fork; after it in the parent (or where it FAILED), and in the child. */
void s5_engine_fork_prepare(struct s5_engine *e);
void s5_engine_fork_parent(struct s5_engine *e, bool failed);
void s5_engine_fork_child(struct s5_engine *e);
/* Where the tree is from now on: the process, its hooks and its children know. */
void s5_engine_set_place(struct s5_engine *e, const struct s5_tree_place *place);
/* In a critical section: the tree that e->state names, or a new one; its descriptor is none of the program's.
 * Where memory is short there is none for now: what needs the policy fails until a later attempt has it, and
 * e->state stays what it is. -errno, or whether there is something to be adopted. */
int s5_engine_attach(struct s5_engine *e);
/* This process has NUMBER in the tree from now on, which was taken for it, or 0: another. */
void s5_engine_register(struct s5_engine *e, uint32_t number);
/* Whether the process of that number has ended. */
static inline bool s5_engine_has_ended(const struct s5_engine *e, uint32_t process)
{
    return s5_process_has_ended(atomic_load(&e->tree_fd), atomic_load(&e->process_number), process);
}

/* --- connect.c, connect_record.c --- */
int s5_connect(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len);
/* The same on FD, a stream of the engine's own, to a name server: the question it is for is forwarded. */
int s5_connect_nameserver(struct s5_engine *e, int fd, const struct s5_endpoint *server);
/* 0 when octets may pass on FD now; -EAGAIN while in flight and FLAGS (or the description) say not to wait;
 * what a connect() came to that failed, once. Waits for EVENTS of others while something is in flight. */
int s5_connect_await(struct s5_engine *e, int fd, int flags, short events);
/* Make what FLIGHT came to the record's state, once, and put the epoll registrations back. */
void s5_connect_settle(struct s5_engine *e, struct s5_record *record);
/* The record of FD where it is in flight (after settling what is over), else NULL. */
struct s5_record *s5_connect_flying(struct s5_engine *e, int fd);
/* Whether a call that a signal interrupted goes on: no handler of the program asks for EINTR. */
bool s5_connect_restarts(void);
/* One turn for RECORD, settled when over. EVENTS: what a wait has just said of it, 0 when nothing is known. */
enum s5_turn s5_connect_turn(struct s5_engine *e, struct s5_record *record, short events);
/* Give up what is in flight on FD, as shutdown() does with a socket that is connecting. False: it is over. */
bool s5_connect_abort(struct s5_engine *e, struct s5_record *record, int fd);
/* FD names nothing of ours any more; to be called before it is closed or reused. */
void s5_connect_forget(struct s5_engine *e, int fd);
/* The same where FD names RECORD still. */
void s5_connect_forget_record(struct s5_engine *e, struct s5_record *record, int fd);
/* A record for FD, in flight with F, whose socket is HELD's: it takes a reference of F over from the caller, also
 * where it fails: -ENOBUFS; -EALREADY: another thread was first. */
int s5_connect_new_record(struct s5_engine *e, int fd, int held, struct s5_flight *f, struct s5_record **ret);
/* The record of FD, held, or NULL; and the end of that. */
struct s5_record *s5_connect_hold(struct s5_engine *e, int fd);
void s5_connect_let_go(struct s5_engine *e, struct s5_record *record);
/* The record of FD, doubts cleared up; NULL: not ours. Where they proved right FD's cookie is in *RET_COOKIE. */
struct s5_record *s5_connect_known(struct s5_engine *e, int fd, uint64_t *ret_cookie);
struct s5_record *s5_connect_known_of_ours(struct s5_engine *e, int fd);
static inline struct s5_record *s5_connect_record(struct s5_engine *e, int fd)
{
    return s5_registry_foreign(&e->registry, fd) ? NULL : s5_connect_known_of_ours(e, fd);
}
/* SO_COOKIE, 0 when there is none. */
uint64_t s5_connect_cookie(struct s5_engine *e, int fd);
/* Whether FD names the socket RECORD was made for still: it may have been closed unseen. */
bool s5_connect_same(struct s5_engine *e, const struct s5_record *record, int fd);
bool s5_connect_stale(struct s5_engine *e, int fd); /* FD is not: it is forgotten. True when it was so */
/* RECORD's flight, held until s5_flight_release; NULL when it is not in flight or that was reclaimed. */
struct s5_flight *s5_connect_pinned(struct s5_engine *e, const struct s5_record *record);
/* What RECORD's flight came to: 0; its error, which is thereby fetched and forgotten; 1: another thread has
 * fetched it, or closed FD. */
int s5_connect_outcome(struct s5_engine *e, struct s5_record *record, int fd);
/* ERROR of a connection attempt (negative errno), or what the kernel keeps of it where that is 0. SO_ERROR of FD is
 * reset. */
int s5_connect_fetch_error(struct s5_engine *e, uint32_t server_index, int fd, int error);
void s5_connect_log_unreachable(struct s5_engine *e, uint32_t server_index, int error);
/* --- route.c: what the policy says of a flow, with its log lines --- */
/* 0: direct; > 0: via *RET_SERVER; -errno: refused. */
int s5_route(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol, uint8_t command,
             const struct s5_server **ret_server);
/* The protocol of S5_PROTO_* an IPPROTO_* number belongs to. */
uint8_t s5_route_protocol(int ipproto);
/* Listening at AT (port 0: one that the kernel chooses). As s5_route; QUIET: without a log line. */
int s5_route_listener(struct s5_engine *e, const struct s5_addr *at, bool quiet,
                      const struct s5_server **ret_server);
/* The address of SERVER that a socket of FAMILY can reach. 0, or -EAFNOSUPPORT, logged. */
int s5_route_address(struct s5_engine *e, const struct s5_server *server, int family, struct s5_endpoint *ret);
/* A flow of a kind that cannot be proxied: 0 where it may leave directly, else -errno, logged. */
int s5_route_direct_only(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol,
                         uint8_t command, const char *what);

/* --- query.c --- */
int s5_getpeername(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len);
int s5_getsockname(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len);
int s5_getsockopt(struct s5_engine *e, int fd, int level, int name, void *value, socklen_t *len);

/* --- life.c --- */
int s5_close(struct s5_engine *e, int fd);
/* The same of a call of ours, which may have an entry in the thread's cleanups. */
int s5_close_own(struct s5_engine *e, int fd);
int s5_close_range(struct s5_engine *e, unsigned first, unsigned last, int flags);
void s5_closefrom(struct s5_engine *e, int first);
int s5_dup(struct s5_engine *e, int fd);
int s5_dup3(struct s5_engine *e, int fd, int to, int flags, bool dup2);
int s5_fcntl(struct s5_engine *e, int fd, int command, long arg);
bool s5_life_is_hidden(struct s5_engine *e, int fd);
/* The number FD is free from now on where a hidden descriptor had it. */
void s5_life_clear(struct s5_engine *e, int fd);
/* Before an exec: connections that go through it are written down in the tree. Returns whether
 * there are any. Safe in a vfork child. */
bool s5_life_hand_over(struct s5_engine *e);
/* After one: take up what was handed over. It did not happen: what was made inheritable for it is not. */
void s5_life_adopt(struct s5_engine *e);
void s5_life_stay(struct s5_engine *e);
/* The next program inherits the memory file, whatever this one has set for its descriptor. */
void s5_life_inherit(struct s5_engine *e);

/* --- datagram.c: options; octets are in octets.h --- */
int s5_setsockopt(struct s5_engine *e, int fd, int level, int name, const void *value,
                  socklen_t len);

/* --- bind.c, accept.c: listeners, see listener.h --- */
int s5_bind(struct s5_engine *e, int fd, const struct sockaddr *addr, socklen_t len);
int s5_listen(struct s5_engine *e, int fd, int backlog);
int s5_shutdown(struct s5_engine *e, int fd, int how);
int s5_accept(struct s5_engine *e, int fd, struct sockaddr *addr, socklen_t *len, int flags);

/* --- resolve.c --- */
/* SERVER, of the policy, is ready to be connected to: its name is resolved, the bridge in front of it is up. 0, or
 * -errno, logged. */
int s5_resolve_server(struct s5_engine *e, const struct s5_server *server);

#endif

/* The bridge (socks5-bridge) in front of the servers that may select GSSAPI, and of those behind UNIX
 * sockets, which no socket of a program reaches: started on first need, once for a process tree, and
 * again when it died. Each process turns its own entry for such a server
 * towards it, so that everything else here only ever speaks user/password to loopback. */
#ifndef S5_BRIDGE_H
#define S5_BRIDGE_H

#include "engine.h"

#define S5_BRIDGE_PATH_MAX 4096

/* How to start one. */
struct s5_bridge_start {
    struct s5_shm *shm;
    int shm_fd;                   /* of TREE; -1: no process can inherit it, and there is no bridge */
    const char *path;             /* of the program */
    char *const *environ_strings; /* for it, less LD_PRELOAD; the credentials are found by it */
    int error_fd;                 /* its standard error; -1: none */
    uint32_t process;             /* the caller's number in TREE; 0: it has none */
};

/* Whether SERVER is one the bridge stands in front of, or is to. */
bool s5_bridge_fronts(const struct s5_server *server);

/* The bridge of the tree is up. 0; -ECONNREFUSED: it could not be started. Waits for as long as that takes. */
int s5_bridge_ensure(const struct s5_bridge_start *how);

/* Whether it is up by all that is known without waiting. */
bool s5_bridge_is_up(const struct s5_bridge_start *how);

/* This process's entry for SERVER, which the bridge is in front of, leads there. 0; -ECONNREFUSED: there is no telling
 * how it was meant. */
int s5_bridge_turn(struct s5_engine *e, const struct s5_server *server);
/* All entries are as they were meant: the bridge is another user's. */
void s5_bridge_turn_back(struct s5_engine *e);

/* The address of ours that leads to the server INDEX that was meant, with PORT, as a socket of FAMILY
 * tells it: programs announce what getsockname() says, and loopback would be said of a connection
 * to the bridge. False: there is none. */
bool s5_bridge_local(struct s5_engine *e, unsigned index, int family, uint16_t port, struct s5_endpoint *ret);

/* --- for the bridge itself --- */

/* This process is TREE's bridge from now on, for as long as it lives; false: another is. */
bool s5_bridge_claim(int shm_fd);
/* It is about to end and none to begin anything with; while it is still there it may be wanted again
 * (by the process told), and then stays. */
void s5_bridge_leave(struct s5_shm *shm);
bool s5_bridge_is_wanted(const struct s5_shm *shm, int32_t *ret_starter);

#endif

/* The bridge (socks5-bridge). It is in front of the servers that may select GSSAPI and of the servers behind UNIX
 * sockets, which a socket of a program cannot reach. It is started on first need, once for a process tree, and again
 * after it has died. Each process changes its own entry for such a server so that it leads to the bridge. The rest of
 * the engine then only uses user/password authentication over loopback. */
#ifndef S5_BRIDGE_H
#define S5_BRIDGE_H

#include "engine.h"

#define S5_BRIDGE_PATH_MAX 4096

/* How to start a bridge. */
struct s5_bridge_start {
    struct s5_shm *shm;
    int shm_fd;                   /* descriptor of SHM; -1: no process can inherit it, and there is no bridge */
    const char *path;             /* of the socks5-bridge program */
    char *const *environ_strings; /* its environment, except LD_PRELOAD; it leads to the credentials */
    int error_fd;                 /* its standard error; -1: /dev/null */
    uint32_t process;             /* the caller's number in SHM; 0: it has none */
};

/* Returns true if SERVER is reached through the bridge. */
bool s5_bridge_fronts(const struct s5_server *server);

/* Ensures that the bridge of the process tree is up. Waits until it is. Returns 0, or -ECONNREFUSED: it could not be
 * started. Preserves errno. */
int s5_bridge_ensure(const struct s5_bridge_start *how);

/* Starts a bridge, which serves while the process STARTER lives. Returns its process ID, or -errno: it was not started.
 * Nothing is awaited. The caller is in a section of s5_in_engine_begin(), or has one thread and no handlers. */
int s5_bridge_spawn(const struct s5_bridge_start *how, pid_t starter);

/* Returns true if the bridge is up, as far as is known without waiting. */
bool s5_bridge_is_up(const struct s5_bridge_start *how);

/* Changes this process's entry for SERVER so that it leads to the bridge. Returns 0, or -ECONNREFUSED: the entry as
 * configured cannot be read. */
int s5_bridge_redirect(struct s5_engine *e, const struct s5_server *server);
/* Restores all entries as configured, because the bridge belongs to another user. */
void s5_bridge_restore(struct s5_engine *e);

/* Returns true if AT is where the bridge answers for SERVER. */
bool s5_bridge_answers(const struct s5_engine *e, const struct s5_server *server, const struct s5_endpoint *at);

/* Stores in RET the local address from which this host reaches server INDEX as configured, with PORT, in the form of a
 * socket of FAMILY. Programs announce the result of getsockname(), which for a connection to the bridge would be
 * loopback. Returns false if there is no such address. Preserves errno. */
bool s5_bridge_local(struct s5_engine *e, unsigned index, int family, uint16_t port, struct s5_endpoint *ret);

/* --- for the bridge itself --- */

/* Makes this process the bridge of the process tree of SHM_FD, until it ends. Returns false if there is another one. */
bool s5_bridge_claim(int shm_fd);
/* Withdraws the bridge, which is about to end: processes do not use it any more. While it still runs, a process may
 * need a bridge again; then the bridge continues. */
void s5_bridge_leave(struct s5_shm *shm);
/* Returns true if a process needs a bridge; *RET_STARTER is the ID of that process. */
bool s5_bridge_is_wanted(const struct s5_shm *shm, int32_t *ret_starter);

#endif

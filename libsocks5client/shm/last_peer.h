/* The last peer that the processes of a tree connected to through a server. A program that then listens on a port that
 * the kernel chooses is assumed to expect a connection from that peer, through the same server. */
#ifndef S5_LAST_PEER_H
#define S5_LAST_PEER_H

#include "shm.h"

#define S5_LAST_PEER_FTP 21

/* Notes that process PID has a control connection to the FTP server TO, which may connect back to it. */
void s5_last_peer_set_ftp(struct s5_shm *shm, uint32_t pid, const struct s5_addr *to);

/* Notes that process *PID is connected to TO through the server at INDEX of the policy. */
static inline void s5_last_peer_note(struct s5_shm *shm, uint32_t index, const _Atomic uint32_t *pid,
                                     const struct s5_addr *to)
{
    atomic_store_explicit(&shm->last_peer.server, (uint32_t)to->kind << 16 | (index + 1), memory_order_relaxed);
    if (__builtin_expect(to->port == S5_LAST_PEER_FTP, 0))
        s5_last_peer_set_ftp(shm, atomic_load_explicit(pid, memory_order_relaxed), to);
}

/* Returns the index + 1 of the last peer's server; 0: there is no last peer. */
uint32_t s5_last_peer_server(const struct s5_shm *shm);
/* Returns the address kind of the last peer: enum s5_addr_kind. */
uint8_t s5_last_peer_kind(const struct s5_shm *shm);

/* Returns true, and the peer that is expected to connect to PID in *RET (port 0), when the latest FTP connection
 * (RFC 959) noted is one of PID. */
bool s5_last_peer_expects(struct s5_shm *shm, uint32_t pid, struct s5_addr *ret);

#endif

/* Whom the processes of a tree called last through a server. A program that listens afterwards on a
 * port that it does not choose wants to be called back, through that same server. */
#ifndef S5_LAST_PEER_H
#define S5_LAST_PEER_H

#include "shm.h"

#define S5_LAST_PEER_FTP 21

/* Process PID is in touch with TO, which is going to call it back. */
void s5_last_peer_set_ftp(struct s5_shm *shm, uint32_t pid, const struct s5_addr *to);

/* Process *PID is connected to TO through the server at INDEX of the policy. */
static inline void s5_last_peer_note(struct s5_shm *shm, uint32_t index, const _Atomic uint32_t *pid,
                                     const struct s5_addr *to)
{
    atomic_store_explicit(&shm->last_peer.server, (uint32_t)to->kind << 16 | (index + 1), memory_order_relaxed);
    if (__builtin_expect(to->port == S5_LAST_PEER_FTP, 0))
        s5_last_peer_set_ftp(shm, atomic_load_explicit(pid, memory_order_relaxed), to);
}

/* The server's index + 1; 0: nobody was called. */
uint32_t s5_last_peer_server(const struct s5_shm *shm);
/* What it was asked for: enum s5_addr_kind. */
uint8_t s5_last_peer_kind(const struct s5_shm *shm);

/* Who is going to call PID back: true, and RET (port 0), where it is in touch with a server of files
 * (FTP, RFC 959). */
bool s5_last_peer_expects(struct s5_shm *shm, uint32_t pid, struct s5_addr *ret);

#endif

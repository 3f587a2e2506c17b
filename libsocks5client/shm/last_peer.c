/* The server is noted with every connection, so that must cost almost nothing. The address is noted only where the port
 * shows that the peer may connect back (FTP). The note is a hint: a writer or reader that finds it busy does without
 * it. */
#include "last_peer.h"
#include <stddef.h>
#include <string.h>

static bool try_lock_ftp_peer(struct s5_last_peer *c)
{
    return atomic_exchange_explicit(&c->busy, 1, memory_order_acquire) == 0;
}

static void unlock_ftp_peer(struct s5_last_peer *c)
{
    atomic_store_explicit(&c->busy, 0, memory_order_release);
}

void s5_last_peer_set_ftp(struct s5_shm *shm, uint32_t pid, const struct s5_addr *to)
{
    struct s5_last_peer *c = &shm->last_peer;
    if (!try_lock_ftp_peer(c))
        return;
    c->pid = pid;
    c->ftp = *to;
    c->ftp.port = 0;
    unlock_ftp_peer(c);
}

uint32_t s5_last_peer_server(const struct s5_shm *shm)
{
    return atomic_load_explicit(&shm->last_peer.server, memory_order_relaxed) & 0xffff;
}

uint8_t s5_last_peer_kind(const struct s5_shm *shm)
{
    return (uint8_t)(atomic_load_explicit(&shm->last_peer.server, memory_order_relaxed) >> 16);
}

bool s5_last_peer_expects(struct s5_shm *shm, uint32_t pid, struct s5_addr *ret)
{
    struct s5_last_peer *c = &shm->last_peer;
    if (!try_lock_ftp_peer(c))
        return false;
    bool known = c->pid == pid;
    if (known)
        *ret = c->ftp;
    unlock_ftp_peer(c);
    return known;
}

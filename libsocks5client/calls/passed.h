/* The entries of sockets that were passed over a UNIX socket, in the memory the processes share.
 *
 * An entry is found by the socket's cookie, and there is one for a socket at most: passing it again replaces what the
 * entry says. Nothing takes an entry away but a newer one, so a message that nobody receives costs nothing more.
 * What an entry says is a hint from another process: every length in it is checked when it is read. */
#ifndef S5_PASSED_H
#define S5_PASSED_H
#include "engine.h"

/* WHAT (all but its version and its three counts) is the entry of the socket COOKIE. */
void s5_passed_write(struct s5_shm *shm, uint64_t cookie, const struct s5_passed *what);
/* The socket COOKIE is none of ours. */
void s5_passed_erase(struct s5_shm *shm, uint64_t cookie);
/* A copy of the entry of COOKIE into *RET, and the entry itself for its counts; NULL: there is none. */
struct s5_passed *s5_passed_read(struct s5_shm *shm, uint64_t cookie, struct s5_passed *ret);
/* Where its counts are. They may be another socket's soon: they are good for clearing up alone. */
struct s5_passed *s5_passed_find(struct s5_shm *shm, uint64_t cookie);

#endif

/* The entries of sockets that were passed over a UNIX socket, in shared memory.
 *
 * An entry is found by the socket's cookie, and a socket has one at most: passing it again replaces the contents. Only
 * a newer entry removes an entry, so a message that is never received costs nothing more. The contents are a hint from
 * another process: every length in it is checked when it is read. */
#ifndef S5_PASSED_H
#define S5_PASSED_H
#include "engine.h"

/* Writes WHAT (all but its version and its three counts) as the entry of the socket COOKIE. */
void s5_passed_write(struct s5_shm *shm, uint64_t cookie, const struct s5_passed *what);
/* Erases the entry of the socket COOKIE, which has no record. */
void s5_passed_erase(struct s5_shm *shm, uint64_t cookie);
/* Copies the entry of COOKIE to *RET, and returns the entry itself for its counts; NULL: there is none. */
struct s5_passed *s5_passed_read(struct s5_shm *shm, uint64_t cookie, struct s5_passed *ret);
/* Returns the entry of COOKIE for its counts; NULL: there is none. They may belong to another socket soon: they only
 * serve to release references. */
struct s5_passed *s5_passed_find(struct s5_shm *shm, uint64_t cookie);

#endif

/* A process stops sharing memory: it gets memory of its own with the same content at the same address. */
#ifndef S5_PRIVATE_COPY_H
#define S5_PRIVATE_COPY_H

#include <stdbool.h>
#include <stddef.h>

struct s5_private_copy {
    int fd;       /* of a memfd, owned by the caller; -1: none, and only children made by fork() share the memory */
    void *memory; /* where it is mapped until s5_private_copy_take(); NULL: no copy, and zeros are mapped instead */
    size_t size;
};

/* Makes a copy of the SIZE octets at AT, which map the memfd FD, with the seals of FD. The memory at AT does not
 * change. Returns whether there is a copy. Preserves errno. */
bool s5_private_copy_make(struct s5_private_copy *ret, int fd, const void *at, size_t size);

/* Replaces the mapping at AT by the copy, atomically for other threads that read and write there. False: memory is
 * short, and nothing has changed. Preserves errno. */
bool s5_private_copy_take(struct s5_private_copy *copy, void *at);

#endif

/* A process leaves the memory that it shares: it gets memory of its own with the same content, at the same
 * address. */
#ifndef S5_PRIVATE_COPY_H
#define S5_PRIVATE_COPY_H

#include <stdbool.h>
#include <stddef.h>

struct s5_private_copy {
    int fd;       /* of a memory file, the caller's; -1: none, and only processes that descend by fork() share it */
    void *memory; /* where it is mapped until it is taken; NULL: there is none, and what is taken is empty */
    size_t size;
};

/* A copy of the SIZE octets at AT, which are the memory file FD: with its seals. Nothing is changed yet. Whether
 * there is one. Preserves errno. */
bool s5_private_copy_make(struct s5_private_copy *ret, int fd, const void *at, size_t size);

/* The copy takes the place of what is at AT, at one blow for other threads that read and write there. False: memory is
 * so short that everything is as it was. Preserves errno. */
bool s5_private_copy_take(struct s5_private_copy *copy, void *at);

#endif

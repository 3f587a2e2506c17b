/* The network namespaces of a process tree, which tools/reach makes for programs that the preload object cannot cover:
 * part of the shared state. */
#ifndef S5_NAMESPACES_H
#define S5_NAMESPACES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The environment of socks5-reach, which is not covered, has LD_PRELOAD of its command under this name. */
#define S5_NAMESPACES_PRELOAD "SOCKS5_PRELOAD"

/* The descriptor of a new gateway that is its socket to the launcher. All higher ones are closed. */
#define S5_NAMESPACES_CHANNEL 3

#define S5_NAMESPACES 64 /* one for each user of the tree; the oldest is overwritten */

struct s5_namespaces {
    uint64_t home;           /* SO_NETNS_COOKIE of the process that wrote the policy; 0: not known */
    _Atomic uint32_t chosen; /* the policy runs some programs in namespaces though they can be covered */
    _Atomic uint64_t id[2];  /* names the gateways of the tree; 0: not drawn yet */
    _Atomic uint32_t added;  /* number of namespaces so far */
    _Atomic uint64_t cookies[S5_NAMESPACES]; /* SO_NETNS_COOKIE of each */
};

/* Stores the random number that names the gateways of the tree in RET. Returns false if there are no random numbers.
 * Preserves errno. */
bool s5_namespaces_id(struct s5_namespaces *n, uint64_t ret[2]);

/* Returns the SO_NETNS_COOKIE of this process's network namespace; 0: the kernel has none (before Linux 5.14).
 * Preserves errno. */
uint64_t s5_namespaces_own_cookie(void);

/* Adds the namespace with COOKIE. */
void s5_namespaces_add(struct s5_namespaces *n, uint64_t cookie);

/* Returns true if this process is in one of the tree's namespaces. Preserves errno. */
bool s5_namespaces_are_here(const struct s5_namespaces *n);

#endif

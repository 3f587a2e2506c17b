/* The fence around the command: the kernel refuses network calls that the preload object does not make. */
#ifndef TOOLS_FENCING_H
#define TOOLS_FENCING_H

#include "options.h"
#include "policy.h"
#include "shm.h"

struct fencing {
    const struct options *options;
    const struct s5_policy *policy;
    int companion; /* a socket to the companion, which waits for the listener; -1: there is none */
    bool unwanted; /* the command is in a namespace, which nothing leaves */
};

/* The programs that a companion starts. */
struct fencing_programs {
    const char *bridge, *gateway;
};

/* Starts the companion of the process tree, where there shall be one. SHM at SHM_FD is the shared memory of the tree.
 * PROGRAMS NULL: the command will be in a namespace of its own, and needs neither fence nor companion. */
void fencing_prepare(struct fencing *ret, const struct options *options, const struct s5_policy *policy,
                     struct s5_shm *shm, int shm_fd, const struct fencing_programs *programs);

/* Installs the fence. Nothing but the execution of the command may follow. Returns 0, also where there is no fence and
 * none is required, or EXIT_OWN_ERROR. Prints a line in both cases. */
int fencing_install(struct fencing *f);

/* Returns true if orphans become children of this process, and so a companion would become a child of the command. */
bool fencing_adopts_orphans(void);

/* Leaves the fence to the child that this process has forked. */
void fencing_cancel(struct fencing *f);

#endif

/* The process trees of this user that run under socksify. */
#ifndef TOOLS_TREES_H
#define TOOLS_TREES_H

#include "shm.h"
#include <sys/types.h>

#define TREES_MAX       256
#define TREES_PROCESSES 64

struct process_tree {
    struct s5_shm *shm;
    int fd; /* of SHM; the policy's is the next one */
    uint64_t inode;
    pid_t processes[TREES_PROCESSES]; /* some that have the shared memory; 0: no more */
};

/* Finds the trees of all processes (PROCESS 0), or that of PROCESS, and stores them in RET, at most TREES_MAX, in the
 * order of their inodes. Returns their number, or -errno: -ESRCH: there is no such process; -EACCES: PROCESS or its
 * tree is another user's; -EMFILE. */
int trees_find(struct process_tree *ret, pid_t process);

/* Reads the environment that PROCESS was started with. Returns its strings and a NULL, which the caller may free with
 * free(*ret) and free(ret), or NULL. */
char **trees_environment(pid_t process);

#endif

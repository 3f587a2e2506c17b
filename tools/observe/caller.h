/* What the companion can see of a process that waits in a refused call. Everything but the program's name needs the
 * right to trace it, or at least to read its memory map: it is missing for processes of other users and for those that
 * are not dumpable. A file system of processes (/proc) is needed. */
#ifndef TOOLS_CALLER_H
#define TOOLS_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Opens /proc. To be called first. */
void caller_begin(void);

/* Stores the kernel's name of the program of TASK in RET; "?" if it is not known. */
void caller_program(pid_t task, char ret[static 16]);

/* Returns the process that TASK is a thread of, or TASK itself if that is not known. */
pid_t caller_process(pid_t task);

/* Stores the effective user and group of TASK. Returns false if they are not known. */
bool caller_ids(pid_t task, uid_t *ret_uid, gid_t *ret_gid);

/* Copies SIZE octets at ADDRESS of TASK's memory to RET. Returns false if they cannot be read. */
bool caller_memory(pid_t task, uint64_t address, void *ret, size_t size);

/* Stores the protocol of TASK's socket FD in RET, such as "TCPv6" or "UNIX-STREAM". Returns 0; -ENOTSUP: FD is no
 * socket; -EACCES and others: it is not known. */
int caller_socket(pid_t task, int fd, char *ret, size_t size);

/* Opens a file of TASK's network namespace, which lives as long as it is open, and stores in RET a number that is the
 * same for all tasks of the namespace and for no other. Returns the descriptor, or -1. */
int caller_open_network(pid_t task, uint64_t *ret);
/* Stores that number alone. Returns false if it is not known. */
bool caller_network(pid_t task, uint64_t *ret);

/* Finds a process in the network namespace NETWORK (of caller_network()) that has the socket INODE. Returns it, or 0,
 * and stores in RET_PROCESS a number that no other process has, as long as this system runs. */
pid_t caller_find_owner(uint64_t network, uint32_t inode, uint64_t *ret_process);

/* Returns a descriptor for writing to the file that TASK has as FD, if it is the file DEV, INO; else -1. The caller
 * closes it. It may be blocking. */
int caller_file(pid_t task, int fd, uint64_t dev, uint64_t ino);

#endif

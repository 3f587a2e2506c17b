/* The processes that share memory. Each has a number, which is never used twice, and holds a lock on the octet of the
 * file at that number. The kernel drops the lock when the process ends, however it ends and before any process waits
 * for it. A process ID cannot prove an end: a zombie still has one, and in another PID namespace it names another
 * process. */
#ifndef S5_PROCESS_H
#define S5_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Octet 0 of the file is the bridge's, see resolve/bridge.c. The octet of a process is at its number. */

/* Set in the number of a process that holds no lock: its end cannot be proven. */
#define S5_PROCESS_UNPROVEN 0x80000000u

/* Returns the next number after *LAST, for a process that exists or will be made. Never 0. */
uint32_t s5_process_number(_Atomic uint32_t *last);

/* Registers the calling process under NUMBER, until it ends or calls this again. Returns the number to use: with
 * S5_PROCESS_UNPROVEN set where FD is no file or the file system has no locks. Safe in a child of a program with
 * threads. Preserves errno. */
uint32_t s5_process_register(int fd, uint32_t number);
/* Unlocks the octets of all numbers below NUMBER: those that the caller had before an exec. To other processes these
 * have ended. */
void s5_process_end_before(int fd, uint32_t number);

/* Locks the octet of the caller's NUMBER again, after the caller closed a descriptor of the file. Preserves errno. */
void s5_process_lock_again(int fd, uint32_t number);

/* Returns whether process NUMBER has certainly ended. SELF is the caller's number: the kernel does not report a
 * caller's own lock. Preserves errno. */
bool s5_process_has_ended(int fd, uint32_t self, uint32_t number);

#endif

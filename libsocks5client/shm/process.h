/* The processes that share a memory file. Each has a number, which is never given twice, and holds a lock on
 * the octet of the file that belongs to it. The kernel drops the lock when the process ends, however it ends and
 * before anybody waits for it. Process IDs tell less: a zombie has one still, and in another PID namespace
 * they mean other processes. */
#ifndef S5_PROCESS_H
#define S5_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Octet 0 of the file is the bridge's, see bridge.c; the octet of a process is its number. */

/* Of a number with this bit there can be no proof that its process has ended. */
#define S5_PROCESS_UNPROVEN 0x80000000u

/* The next number after *LAST, for a process that there is or that will come to be. */
uint32_t s5_process_number(_Atomic uint32_t *last);

/* The calling process has NUMBER, from now on until it ends or calls this again: as it is to be used, UNPROVEN
 * where FD is no file or the file system knows no locks. Safe in a child of a program with threads. Preserves
 * errno. */
uint32_t s5_process_register(int fd, uint32_t number);
/* What the caller had before NUMBER, which was before an exec, has ended for others too from now on. */
void s5_process_end_before(int fd, uint32_t number);

/* The caller, NUMBER, has closed a descriptor of the file: it takes its lock again. Preserves errno. */
void s5_process_lock_again(int fd, uint32_t number);

/* Whether it is certain that process NUMBER has ended. SELF is the caller's number: its own lock is none to the
 * kernel. Preserves errno. */
bool s5_process_has_ended(int fd, uint32_t self, uint32_t number);

#endif

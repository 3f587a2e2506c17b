/* Critical sections of a thread, and the lock of process memory.
 *
 * In a critical section no signal handler of the program runs and the thread cannot be cancelled, so that neither
 * siglongjmp() nor pthread_cancel() can leave it. It costs two system calls and is for rare operations. Code in a
 * critical section does not sleep; the few exceptions state how long. */
#ifndef S5_CRITICAL_H
#define S5_CRITICAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether the process has only one thread, where libc provides that; else 0. */
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define S5_SINGLE_THREADED __libc_single_threaded
#else
#define S5_SINGLE_THREADED 0
#endif

struct s5_critical {
    unsigned long signals[64 / (8 * sizeof(long))]; /* those that were blocked before; the kernel's set */
    int cancel;                                     /* -1: not changed */
};

void s5_critical_begin(struct s5_critical *ret);
void s5_critical_end(const struct s5_critical *critical);

/* Returns a token of the calling thread: number of forks up to this process << 32 | thread. Never 0. */
uint64_t s5_thread_token(void);
/* Returns whether the holder TOKEN is a thread of the parent, which does not exist in this child of a fork. */
bool s5_thread_is_left_behind(uint64_t token);
/* To be called in the child of a fork: gives its threads other tokens. */
void s5_thread_fork_child(void);

struct s5_lock {
    _Atomic uint64_t holder; /* s5_thread_token; 0: not locked */
};

/* Begins a critical section and takes LOCK. Waits for other threads, which hold it for a moment only; takes it over
 * from a thread of the parent that the child of a fork does not have. False, without a section: this thread holds it
 * already. */
bool s5_lock_take(struct s5_lock *lock, struct s5_critical *ret);
void s5_lock_give(struct s5_lock *lock, const struct s5_critical *critical);

#endif

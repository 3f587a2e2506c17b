/* Critical sections of a thread, and the lock of process memory.
 *
 * In a critical section no signal handler of the program runs and nobody cancels the thread, so that what
 * begins there also ends there: no siglongjmp() and no pthread_cancel() comes in between. It costs two
 * system calls and is for what is rare. Nothing sleeps in one, with few exceptions that say how long. */
#ifndef S5_CRITICAL_H
#define S5_CRITICAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Known for free where libc tells. */
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define S5_SINGLE_THREADED __libc_single_threaded
#else
#define S5_SINGLE_THREADED 0
#endif

struct s5_critical {
    unsigned long signals[64 / (8 * sizeof(long))]; /* those that were held; the kernel's set */
    int cancel;                                     /* -1: not changed */
};

void s5_critical_begin(struct s5_critical *ret);
void s5_critical_end(const struct s5_critical *critical);

/* The calling thread of this process and no other: which fork the process comes from << 32 | thread. */
uint64_t s5_thread_token(void);
/* Whether the holder TOKEN is a thread of another process: of a parent, and left behind by a fork. */
bool s5_thread_is_left_behind(uint64_t token);
/* The calling process has just come from a fork: threads get other tokens. */
void s5_thread_fork_child(void);

struct s5_lock {
    _Atomic uint64_t holder; /* s5_thread_token; 0: nobody */
};

/* Begins a critical section with LOCK held. Waits for other threads, which hold it for a moment alone; takes
 * it over from a thread that a fork left behind. False, and no section: this very thread holds it. */
bool s5_lock_take(struct s5_lock *lock, struct s5_critical *ret);
void s5_lock_give(struct s5_lock *lock, const struct s5_critical *critical);

#endif

#include "cleanup.h"
#include "critical.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

/* Octets. Two calls of the program in one thread that both go on are further apart than this: the second one is a
 * handler's, and the kernel puts what it saved in between, at least 700. Functions that look differ in depth by less,
 * those of a sanitizer, which are the largest, too. */
#define SLACK 512

__thread struct s5_cleanups s5_cleanups __attribute__((tls_model("initial-exec"))) = {
    .n = S5_CLEANUP_NONE, .cancel = S5_CLEANUP_NO_STATE, .brief = {.at = S5_CLEANUP_BRIEF_NONE}};

/* --- the end of a thread --- */

static _Atomic uint32_t key_1; /* the key + 1; 0: not made yet, UINT32_MAX: there is none */

static void release_entry(struct s5_cleanup *c)
{
    struct s5_cleanup had = *c;
    s5_cleanup_clear(c);
    if (had.ticket && had.run)
        had.run(had.user, &had, false);
}

/* AddressSanitizer marks the stack around variables, and does not see that cancellation left their functions. What
 * runs in the same place would be taken for a mistake. */
static inline void forget_frames(void)
{
#ifdef __SANITIZE_ADDRESS__
    enum { DEEP_ENOUGH = 32768 };
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    __asan_unpoison_memory_region((void *)(here - DEEP_ENOUGH), DEEP_ENOUGH);
#endif
}

static void end_thread(void *unused)
{
    struct s5_cleanups *all = s5_cleanups_own();
    struct s5_critical critical;
    (void)unused;
    forget_frames();
    s5_critical_begin(&critical);
    release_entry(&all->brief);
    while (all->n && all->n != S5_CLEANUP_NONE)
        release_entry(&all->entries[--all->n]);
    all->brief.at = S5_CLEANUP_BRIEF_NONE;
    all->n = S5_CLEANUP_NONE; /* what runs after this notices its end again */
    s5_critical_end(&critical);
}

/* The first keys have their place in each thread; for later ones libc needs malloc(), which a handler cannot
 * have. Then the end of a thread goes unnoticed. */
static void notice_end(void)
{
    enum { IN_PLACE = 32 };
    uint32_t have = atomic_load(&key_1);
    pthread_key_t fresh;
    if (!have) {
        uint32_t made = pthread_key_create(&fresh, end_thread) == 0 ? (uint32_t)fresh + 1 : UINT32_MAX;
        if (atomic_compare_exchange_strong(&key_1, &have, made))
            have = made; /* or another thread was quicker, and FRESH stays unused */
    }
    if (have <= IN_PLACE)
        pthread_setspecific((pthread_key_t)(have - 1), &s5_cleanups);
}

/* --- calls that are gone --- */

/* By a system call, since each function of libc more costs all programs at their start. */
bool s5_cleanup_on_other_stack(void)
{
    stack_t stack;
    int saved = errno;
    bool is = syscall(SYS_sigaltstack, NULL, &stack) == 0 && (stack.ss_flags & SS_ONSTACK);
    errno = saved;
    return is;
}

static void begin_list(struct s5_cleanups *all)
{
    for (uint32_t i = 0; i < S5_CLEANUPS; i++)
        s5_cleanup_clear(&all->entries[i]);
    s5_cleanup_clear(&all->brief);
    notice_end();
    all->n = 0;
}

/* Whether the entry made at MADE is of a call that is gone, as seen from AT. */
static inline bool is_left(uintptr_t made, uintptr_t at)
{
    return made && at + SLACK >= made;
}

/* Whether the topmost entry is. One that was being made is gone with the one below it. */
static bool is_gone(const struct s5_cleanups *all, uintptr_t at)
{
    uint32_t i = all->n;
    while (i && !all->entries[i - 1].at)
        i--;
    return i && is_left(all->entries[i - 1].at, at);
}

/* The end of the section CRITICAL sets the thread's state to what it was before the stretch that was left. */
static void restore_cancel_state(struct s5_cleanups *all, struct s5_critical *critical)
{
    if (all->cancel != S5_CLEANUP_NO_STATE && critical->cancel != -1)
        critical->cancel = all->cancel;
    all->cancel = S5_CLEANUP_NO_STATE;
}

int s5_cleanup_hold_cancel(void)
{
    struct s5_cleanups *all = s5_cleanups_own();
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    if (all->cancel == S5_CLEANUP_NO_STATE) /* else a handler's stretch within another one */
        all->cancel = before;
    return before;
}

void s5_cleanup_allow_cancel(int before)
{
    struct s5_cleanups *all = s5_cleanups_own();
    if (before == PTHREAD_CANCEL_ENABLE)
        all->cancel = S5_CLEANUP_NO_STATE;
    pthread_setcancelstate(before, NULL);
}

void s5_cleanup_sweep(uintptr_t at)
{
    struct s5_cleanups *all = s5_cleanups_own();
    struct s5_critical critical;
    if (!is_gone(all, at) && !is_left(all->brief.at, at))
        return;
    s5_critical_begin(&critical);
    if (!s5_cleanup_on_other_stack()) {
        if (is_left(all->brief.at, at))
            release_entry(&all->brief);
        while (is_gone(all, at))
            release_entry(&all->entries[--all->n]);
        restore_cancel_state(all, &critical);
    }
    s5_critical_end(&critical);
}

bool s5_cleanup_first(void)
{
    struct s5_cleanups *all = s5_cleanups_own();
    struct s5_critical critical;
    if (all->n != S5_CLEANUP_NONE)
        return false;
    s5_critical_begin(&critical);
    begin_list(all);
    s5_critical_end(&critical);
    return true;
}

/* There is no list yet, or it is full, and the latest call fails: handlers interrupt handlers without an end, or
 * calls that are gone were made from deeper and deeper. */
__attribute__((noinline, cold)) void s5_cleanup_make_room(void)
{
    struct s5_cleanups *all = s5_cleanups_own();
    struct s5_critical critical;
    s5_critical_begin(&critical);
    if (all->n == S5_CLEANUP_NONE)
        begin_list(all);
    if (all->n == S5_CLEANUPS)
        release_entry(&all->entries[--all->n]);
    s5_critical_end(&critical);
}

bool s5_cleanup_pop_slowly(struct s5_cleanup *c, uint32_t ticket)
{
    struct s5_cleanups *all = s5_cleanups_own();
    struct s5_critical critical;
    s5_critical_begin(&critical);
    bool owned = c->ticket == ticket && all->n != S5_CLEANUP_NONE && c < &all->entries[all->n];
    while (owned && &all->entries[all->n - 1] != c)
        release_entry(&all->entries[--all->n]);
    if (owned) {
        s5_cleanup_clear(c);
        all->n--;
    }
    s5_critical_end(&critical);
    return owned;
}

void s5_cleanup_fork_child(void)
{
    struct s5_cleanups *all = s5_cleanups_own();
    if (all->brief.ticket)
        all->brief.run(all->brief.user, &all->brief, true);
    for (uint32_t i = 0; all->n != S5_CLEANUP_NONE && i < all->n; i++)
        if (all->entries[i].ticket)
            all->entries[i].run(all->entries[i].user, &all->entries[i], true);
}

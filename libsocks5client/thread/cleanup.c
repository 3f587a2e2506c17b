/* Entries of calls that were left are found by stack depth. An entry has an address in the stack frame of its call. A
 * later call of the program in the same thread that is not deeper in the stack proves that the earlier call is gone,
 * and releases its entry. Stacks grow down. A thread-specific key releases all entries at the end of the thread. */
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

/* Octets. Two unfinished calls of the program in one thread are further apart than this: a signal handler makes the
 * second one, and the kernel saves at least 700 octets on the stack between them. The functions that call
 * s5_cleanup_look() differ in depth by less, also when built with a sanitizer, which makes them largest. */
#define SLACK 512

__thread struct s5_cleanups s5_cleanups __attribute__((tls_model("initial-exec"))) = {
    .n = S5_CLEANUP_NONE, .cancel = S5_CLEANUP_NO_STATE, .brief = {.at = S5_CLEANUP_BRIEF_NONE}};

/* --- the end of a thread --- */

static _Atomic uint32_t key_1; /* the key + 1; 0: not made yet; UINT32_MAX: it could not be made */

static void release_entry(struct s5_cleanup *c)
{
    struct s5_cleanup had = *c;
    s5_cleanup_clear(c);
    if (had.ticket && had.run)
        had.run(had.user, &had, false);
}

/* AddressSanitizer marks the stack around variables, and does not notice when cancellation leaves their functions. It
 * would report functions that use the same stack afterwards. */
static inline void unpoison_frames(void)
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
    unpoison_frames();
    s5_critical_begin(&critical);
    release_entry(&all->brief);
    while (all->n && all->n != S5_CLEANUP_NONE)
        release_entry(&all->entries[--all->n]);
    all->brief.at = S5_CLEANUP_BRIEF_NONE;
    all->n = S5_CLEANUP_NONE; /* a later call in this thread registers for its end again */
    s5_critical_end(&critical);
}

/* Registers for the end of this thread. The values of the first keys are stored in the thread itself; for later keys
 * libc needs malloc(), which a signal handler must not call. With a later key the end of a thread is not noticed. */
static void register_thread_end(void)
{
    enum { IN_PLACE = 32 };
    uint32_t have = atomic_load(&key_1);
    pthread_key_t fresh;
    if (!have) {
        uint32_t made = pthread_key_create(&fresh, end_thread) == 0 ? (uint32_t)fresh + 1 : UINT32_MAX;
        if (atomic_compare_exchange_strong(&key_1, &have, made))
            have = made; /* else another thread was first, and FRESH is not used */
    }
    if (have <= IN_PLACE)
        pthread_setspecific((pthread_key_t)(have - 1), &s5_cleanups);
}

/* --- calls that were left --- */

/* Uses a system call: each further function of libc makes the start of every program slower. */
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
    register_thread_end();
    all->n = 0;
}

/* Whether the call that made an entry at the stack address MADE was left, as seen from AT. */
static inline bool is_left(uintptr_t made, uintptr_t at)
{
    return made && at + SLACK >= made;
}

/* Whether the call of the topmost entry was left. An incomplete entry counts as left with the entry below it. */
static bool is_gone(const struct s5_cleanups *all, uintptr_t at)
{
    uint32_t i = all->n;
    while (i && !all->entries[i - 1].at)
        i--;
    return i && is_left(all->entries[i - 1].at, at);
}

/* Where a call was left with cancellation disabled by s5_cleanup_hold_cancel(), makes the end of the section CRITICAL
 * restore the state of before that. */
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
    if (all->cancel == S5_CLEANUP_NO_STATE) /* else the caller is a handler that interrupted such a stretch */
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

/* There is no list yet, or it is full. In a full list the latest entry is released, and its call fails. A list is full
 * when handlers interrupt handlers many times, or when several calls that were left were each made from deeper in the
 * stack. */
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

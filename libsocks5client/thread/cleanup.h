/* What a thread holds for a call that may block, and releases however the call ends.
 *
 * A handler of the program may leave the call by siglongjmp(), and pthread_cancel() may end its thread. The call's own
 * code does not run then. So the resources of the call are noted in an entry of a short list of the thread, with the
 * stack address of the call. Later calls of the thread find entries of calls that were left by their addresses: the
 * stack is no longer that deep. The end of the thread releases all entries.
 *
 * The call that makes an entry receives a ticket. An entry may be released although its call continues, where a handler
 * switched stacks unnoticed. The call detects this by its ticket, and fails.
 *
 * Signal handlers may interrupt any of this, make entries of their own and leave by siglongjmp(). An entry is cleared
 * before its contents are released, so that nothing is released twice. */
#ifndef S5_CLEANUP_H
#define S5_CLEANUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S5_CLEANUPS 4u /* calls of one thread, each in a handler that interrupted the previous one */

struct s5_cleanup;

/* Releases what C holds. FORKED: the process is the child of a fork during the call, which continues there too. Then
 * the function takes references of its own instead, or sets C->ticket to 0 where there is nothing to take a reference
 * to. */
typedef void s5_cleanup_fn(void *user, struct s5_cleanup *c, bool forked);

struct s5_cleanup {
    uintptr_t at;    /* in the stack frame of the call; 0: free, or being made */
    uint32_t ticket; /* 0: the entry has no owner */
    uint32_t negotiation_generation, object_generation;
    int32_t fd[2];      /* -1: none */
    uint64_t cookie[2]; /* SO_COOKIE of the sockets that FD names */
    s5_cleanup_fn *run;
    void *user, *negotiation, *object; /* NULL: none */
};

struct s5_cleanups {
    uint32_t n; /* number of entries; S5_CLEANUP_NONE: the thread has made none yet */
    uint32_t tickets;
    int cancel; /* the cancellation state of before s5_cleanup_hold_cancel(); S5_CLEANUP_NO_STATE: not changed */
    struct s5_cleanup brief; /* of an operation that does not wait; its ticket is always the same */
    struct s5_cleanup entries[S5_CLEANUPS];
};

#define S5_CLEANUP_NONE     UINT32_MAX
#define S5_CLEANUP_NO_STATE (-1)

extern __thread struct s5_cleanups s5_cleanups __attribute__((tls_model("initial-exec")));

static inline struct s5_cleanups *s5_cleanups_own(void)
{
    struct s5_cleanups *own = &s5_cleanups;
#ifdef __SANITIZE_ADDRESS__ /* a NULL test uses an addition's flags, and the linker makes it a LEA, which sets none */
    __asm__("" : "+r"(own));
#endif
    return own;
}

/* Releases entries of calls that were left. AT: an address in the stack frame of a function that the program called and
 * that has made no entry yet. The functions that it calls do not do this again. */
void s5_cleanup_sweep(uintptr_t at);
static inline void s5_cleanup_look(uintptr_t at)
{
    const struct s5_cleanups *all = s5_cleanups_own();
    if (__builtin_expect((all->n || all->brief.at) && all->n != S5_CLEANUP_NONE, 0))
        s5_cleanup_sweep(at);
}

/* s5_cleanup_push() makes an entry and returns it; *RET_TICKET receives its ticket. AT: an address in the stack frame
 * of the caller. s5_cleanup_make_room() makes the list, or releases the latest entry of a full one. */
void s5_cleanup_make_room(void);
static inline struct s5_cleanup *s5_cleanup_push(s5_cleanup_fn *run, void *user, uintptr_t at, uint32_t *ret_ticket)
{
    struct s5_cleanups *all = s5_cleanups_own();
    if (__builtin_expect(all->n >= S5_CLEANUPS, 0)) /* S5_CLEANUP_NONE, where there is no list yet, included */
        s5_cleanup_make_room();
    struct s5_cleanup *c = &all->entries[all->n];
    all->n++;
    atomic_signal_fence(memory_order_seq_cst);
    c->run = run;
    c->user = user;
    *ret_ticket = c->ticket = ++all->tickets;
    atomic_signal_fence(memory_order_seq_cst);
    c->at = at;
    return c;
}

/* Returns whether C is still the entry that TICKET was given for. */
static inline bool s5_cleanup_owns(const struct s5_cleanup *c, uint32_t ticket)
{
    atomic_signal_fence(memory_order_seq_cst);
    return c->ticket == ticket;
}

/* s5_cleanup_pop() removes C from the list, and releases entries above it, which are of calls that were left. The
 * caller releases the contents of C. False: C was released already. */
bool s5_cleanup_pop_slowly(struct s5_cleanup *c, uint32_t ticket);
static inline void s5_cleanup_clear(struct s5_cleanup *c)
{
    c->ticket = 0;
    c->fd[0] = c->fd[1] = -1;
    c->negotiation = c->object = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    c->at = 0;
    atomic_signal_fence(memory_order_seq_cst);
}
static inline bool s5_cleanup_pop(struct s5_cleanup *c, uint32_t ticket)
{
    struct s5_cleanups *all = s5_cleanups_own();
    if (__builtin_expect(c->ticket != ticket || c != &all->entries[all->n - 1], 0))
        return s5_cleanup_pop_slowly(c, ticket);
    s5_cleanup_clear(c);
    all->n--;
    return true;
}

/* Makes the thread's entry for a frequent operation that does not wait. It is cheap, and there is only one. NULL: the
 * entry is in use, by a call that continues below or by one that was left and not released yet; or s5_cleanup_first()
 * must be called first. AT as above. */
#define S5_CLEANUP_BRIEF_NONE 1u /* value of AT before the thread's first entry */
static inline struct s5_cleanup *s5_cleanup_begin_brief(s5_cleanup_fn *run, void *user, uintptr_t at)
{
    struct s5_cleanup *c = &s5_cleanups_own()->brief;
    if (__builtin_expect(c->at != 0, 0))
        return NULL;
    c->run = run;
    c->user = user;
    c->ticket = 1;
    atomic_signal_fence(memory_order_seq_cst);
    c->at = at;
    atomic_signal_fence(memory_order_seq_cst);
    return c;
}
/* Ends that entry. False: it was released already. */
static inline bool s5_cleanup_end_brief(struct s5_cleanup *c, uintptr_t at)
{
    if (__builtin_expect(c->at != at, 0))
        return false;
    c->negotiation = c->object = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    c->at = 0;
    return true;
}
/* Makes the thread's list of entries. False: it exists already. */
bool s5_cleanup_first(void);

/* Disables cancellation in a stretch of a call that has an entry. Where the call is left within the stretch, the state
 * is restored when the entry is released. s5_cleanup_hold_cancel() returns the former state, which is passed to
 * s5_cleanup_allow_cancel() at the end of the stretch. */
int s5_cleanup_hold_cancel(void);
void s5_cleanup_allow_cancel(int before);

/* Returns whether the caller runs in a handler on an alternate stack (sigaltstack()), whose addresses say nothing about
 * the depth of calls. Preserves errno. */
bool s5_cleanup_on_other_stack(void);

/* To be called in the child of a fork, by its thread. */
void s5_cleanup_fork_child(void);

/* Releases what calls of this thread that were left had held. A function that a program calls does this before anything
 * else. The depth of the caller is where its frame begins, however large the frame is. */
static inline __attribute__((always_inline)) void s5_cleanup_look_here(void)
{
    s5_cleanup_look((uintptr_t)__builtin_dwarf_cfa());
}

#endif

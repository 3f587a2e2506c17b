/* What a thread holds for a call that may block, and gives back however the call ends.
 *
 * A handler of the program may leave the call by siglongjmp(), and pthread_cancel() may end its thread: the
 * call's own code does not run then. So what it holds is noted in a short list of the thread's, with the
 * stack address of the call. Later calls of the thread look for entries of calls that are gone by their addresses:
 * the stack is no longer that deep. The end of the thread gives back all of them.
 *
 * Whoever makes an entry gets a ticket. An entry may have been given back although its call goes on, where
 * a handler changed stacks behind our back: the ticket tells, and the call fails.
 *
 * Signal handlers may interrupt any of this, make entries of their own and leave by siglongjmp(). An entry is
 * cleared before its contents are released, so that nothing is released twice. */
#ifndef S5_CLEANUP_H
#define S5_CLEANUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S5_CLEANUPS 4u /* calls of one thread, each in a handler within the one before */

struct s5_cleanup;

/* Gives back what C holds. FORKED: this is the child of a fork within the call, which goes on there too: it
 * takes references of its own instead, or sets C->ticket to 0 where there is nothing to take_fork_reference to. */
typedef void s5_cleanup_fn(void *user, struct s5_cleanup *c, bool forked);

struct s5_cleanup {
    uintptr_t at;    /* in the stack frame of the call; 0: free, or being made */
    uint32_t ticket; /* 0: nobody's */
    uint32_t negotiation_generation, object_generation;
    int32_t fd[2];      /* -1: none */
    uint64_t cookie[2]; /* of the sockets they name */
    s5_cleanup_fn *run;
    void *user, *negotiation, *object; /* NULL: none */
};

struct s5_cleanups {
    uint32_t n; /* S5_CLEANUP_NONE: the thread has made none yet */
    uint32_t tickets;
    int cancel; /* the thread's state of cancellation, which a stretch of ours has changed; S5_CLEANUP_NO_STATE: none */
    struct s5_cleanup brief; /* of what waits for nothing; its ticket is always the same */
    struct s5_cleanup entries[S5_CLEANUPS];
};

#define S5_CLEANUP_NONE     UINT32_MAX
#define S5_CLEANUP_NO_STATE (-1)

extern __thread struct s5_cleanups s5_cleanups __attribute__((tls_model("initial-exec")));

static inline struct s5_cleanups *s5_cleanups_own(void)
{
    struct s5_cleanups *own = &s5_cleanups;
#ifdef __SANITIZE_ADDRESS__ /* tests for NULL use flags of an addition; the linker makes it a LEA, which sets none */
    __asm__("" : "+r"(own));
#endif
    return own;
}

/* Entries of calls that are gone are given back. AT: an address in the stack frame of a function that the program
 * has called, and that has made no entry yet: what it calls itself does not look. */
void s5_cleanup_sweep(uintptr_t at);
static inline void s5_cleanup_look(uintptr_t at)
{
    const struct s5_cleanups *all = s5_cleanups_own();
    if (__builtin_expect((all->n || all->brief.at) && all->n != S5_CLEANUP_NONE, 0))
        s5_cleanup_sweep(at);
}

/* A new entry, and its ticket. AT: an address in the stack frame of the caller. */
void s5_cleanup_make_room(void);
static inline struct s5_cleanup *s5_cleanup_push(s5_cleanup_fn *run, void *user, uintptr_t at, uint32_t *ret_ticket)
{
    struct s5_cleanups *all = s5_cleanups_own();
    if (__builtin_expect(all->n >= S5_CLEANUPS, 0)) /* also where there is no list yet */
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

/* Whether C is still what got TICKET. */
static inline bool s5_cleanup_owns(const struct s5_cleanup *c, uint32_t ticket)
{
    atomic_signal_fence(memory_order_seq_cst);
    return c->ticket == ticket;
}

/* C, and what is above it and left over, is taken off the list; its contents are the caller's to release.
 * False: C was given back. */
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

/* The thread's entry for what is done often and waits for nothing, so that it costs little and there is one alone.
 * NULL: there is one already, of a call that goes on below or of one that nothing has looked for; or
 * s5_cleanup_first() has to make it. AT as above. */
#define S5_CLEANUP_BRIEF_NONE 1u /* AT before the thread's first one */
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
/* Whether it was not given back. */
static inline bool s5_cleanup_end_brief(struct s5_cleanup *c, uintptr_t at)
{
    if (__builtin_expect(c->at != at, 0))
        return false;
    c->negotiation = c->object = NULL;
    atomic_signal_fence(memory_order_seq_cst);
    c->at = 0;
    return true;
}
/* The thread's first entries are made. False: they were. */
bool s5_cleanup_first(void);

/* No cancellation in a stretch of a call that has an entry: who jumps out of it gets the state back with the entry.
 * Begins with the state it returns, with which it is ended. */
int s5_cleanup_hold_cancel(void);
void s5_cleanup_allow_cancel(int before);

/* Whether this is a handler on a stack of its own (sigaltstack()), by whose addresses nothing can be told of
 * calls. Preserves errno. */
bool s5_cleanup_on_other_stack(void);

/* The calling thread has come out of a fork. */
void s5_cleanup_fork_child(void);

/* What this thread's calls held that are gone is given back: in what a program calls, before anything else. The
 * caller's depth is where its frame begins, however large that is. */
static inline __attribute__((always_inline)) void s5_blocking_look(void)
{
    s5_cleanup_look((uintptr_t)__builtin_dwarf_cfa());
}

#endif

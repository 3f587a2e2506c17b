/* What a thread holds for a call: given back when the call is gone, and not before. */
#include "cleanup.h"
#include "critical.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int given, forked;
static sigjmp_buf outside;

static void give_back(void *user, struct s5_cleanup *c, bool in_child)
{
    cr_assert_eq(c->object, user);
    if (in_child)
        forked++;
    else
        given++;
}

static struct s5_cleanup *hold(uintptr_t at, uint32_t *ticket)
{
    struct s5_cleanup *c = s5_cleanup_push(give_back, &given, at, ticket);
    c->object = &given;
    return c;
}

static __attribute__((noinline)) void jumps_out(void)
{
    uint32_t ticket;
    hold((uintptr_t)&ticket, &ticket);
    siglongjmp(outside, 1);
}

/* As deep as what jumped, or less. */
static __attribute__((noinline)) void looks(void)
{
    char here;
    s5_cleanup_look((uintptr_t)&here);
}

Test(cleanup, a_call_that_was_jumped_out_of_is_given_back_once)
{
    given = 0;
    for (volatile int i = 1; i < 10; i++) {
        if (sigsetjmp(outside, 1) == 0)
            jumps_out();
        looks();
        looks();
        cr_assert_eq(given, i);
    }
}

Test(cleanup, a_call_that_ends_is_not_given_back)
{
    uint32_t ticket;
    given = 0;
    struct s5_cleanup *c = hold((uintptr_t)&ticket, &ticket);
    cr_assert(s5_cleanup_owns(c, ticket) && s5_cleanup_pop(c, ticket));
    cr_assert(!s5_cleanup_owns(c, ticket) && !s5_cleanup_pop(c, ticket));
    looks();
    cr_assert_eq(given, 0);
}

/* --- in handlers --- */

static int jumps_in_handler;

static void on_signal(int sig)
{
    uint32_t ticket;
    (void)sig;
    looks();
    struct s5_cleanup *c = hold((uintptr_t)&ticket, &ticket);
    if (jumps_in_handler)
        siglongjmp(outside, 1);
    cr_assert(s5_cleanup_pop(c, ticket));
}

static void interrupted(bool own_stack)
{
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = own_stack ? SA_ONSTACK : 0};
    uint32_t ticket;
    given = 0;
    jumps_in_handler = 0;
    cr_assert_eq(sigaltstack(&stack, NULL), 0);
    sigaction(SIGUSR1, &action, NULL);
    struct s5_cleanup *c = hold((uintptr_t)&ticket, &ticket);
    raise(SIGUSR1);
    cr_assert(s5_cleanup_owns(c, ticket) && given == 0);
    /* The handler's call is left, and this one goes on: the end of this one finds it. */
    jumps_in_handler = 1;
    if (sigsetjmp(outside, 1) == 0)
        raise(SIGUSR1);
    cr_assert(s5_cleanup_owns(c, ticket));
    cr_assert(s5_cleanup_pop(c, ticket));
    cr_assert_eq(given, 1);
    cr_assert_eq(s5_cleanups.n, 0);
}

Test(cleanup, a_handlers_call_leaves_what_it_interrupts_alone)
{
    interrupted(false);
}

Test(cleanup, a_handler_on_a_stack_of_its_own_does_too)
{
    interrupted(true);
}

/* --- brief ones --- */

static struct s5_cleanup *hold_briefly(uintptr_t at)
{
    struct s5_cleanup *c = s5_cleanup_begin_brief(give_back, &given, at);
    if (!c && s5_cleanup_first())
        c = s5_cleanup_begin_brief(give_back, &given, at);
    if (c)
        c->object = &given;
    return c;
}

static __attribute__((noinline)) void jumps_out_of_brief(void)
{
    char here;
    cr_assert(hold_briefly((uintptr_t)&here));
    siglongjmp(outside, 1);
}

Test(cleanup, a_brief_one_that_was_jumped_out_of_is_given_back_once)
{
    given = 0;
    for (volatile int i = 1; i < 10; i++) {
        if (sigsetjmp(outside, 1) == 0)
            jumps_out_of_brief();
        looks();
        looks();
        cr_assert_eq(given, i);
    }
}

Test(cleanup, a_brief_one_that_ends_is_not_given_back)
{
    char here;
    given = 0;
    struct s5_cleanup *c = hold_briefly((uintptr_t)&here);
    cr_assert(c && s5_cleanup_end_brief(c, (uintptr_t)&here));
    cr_assert(!s5_cleanup_end_brief(c, (uintptr_t)&here));
    looks();
    cr_assert_eq(given, 0);
}

static int found_one;

static void finds_one_below(int sig)
{
    char here;
    (void)sig;
    looks();
    found_one = hold_briefly((uintptr_t)&here) == NULL;
}

Test(cleanup, there_is_one_brief_one_and_a_handler_leaves_it_alone)
{
    struct sigaction action = {.sa_handler = finds_one_below};
    char here;
    given = found_one = 0;
    sigaction(SIGUSR1, &action, NULL);
    struct s5_cleanup *c = hold_briefly((uintptr_t)&here);
    raise(SIGUSR1);
    cr_assert(found_one);
    cr_assert(s5_cleanup_end_brief(c, (uintptr_t)&here));
    cr_assert_eq(given, 0);
}

static void *ends_within_a_brief_one(void *unused)
{
    char here;
    (void)unused;
    hold_briefly((uintptr_t)&here);
    pthread_exit(NULL);
}

Test(cleanup, the_end_of_a_thread_gives_a_brief_one_back)
{
    pthread_t thread;
    given = 0;
    cr_assert_eq(pthread_create(&thread, NULL, ends_within_a_brief_one, NULL), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(given, 1);
}

/* --- critical sections --- */

static void leave_the_section(int sig)
{
    (void)sig;
    siglongjmp(outside, 1);
}

static void *ends_at_once(void *unused)
{
    return unused;
}

/* A signal that came during the section is delivered when it ends, and its handler jumps away from there. */
Test(cleanup, a_thread_can_be_cancelled_after_a_jump_out_of_the_end_of_a_critical_section)
{
    struct sigaction action = {.sa_handler = leave_the_section};
    struct s5_critical critical;
    pthread_t other;
    int state;
    cr_assert_eq(pthread_create(&other, NULL, ends_at_once, NULL), 0); /* from now on there may be several */
    pthread_join(other, NULL);
    sigaction(SIGUSR1, &action, NULL);
    if (sigsetjmp(outside, 1) == 0) {
        s5_critical_begin(&critical);
        raise(SIGUSR1);
        s5_critical_end(&critical);
        cr_assert_fail("the handler has not run");
    }
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    cr_assert_eq(state, PTHREAD_CANCEL_ENABLE);
}

Test(cleanup, a_call_beyond_the_room_takes_it_from_the_one_before)
{
    uint32_t tickets[S5_CLEANUPS + 1];
    struct s5_cleanup *all[S5_CLEANUPS + 1];
    uintptr_t at = (uintptr_t)&tickets + sizeof tickets;
    given = 0;
    for (unsigned i = 0; i <= S5_CLEANUPS; i++)
        all[i] = hold(at - 1000 * i, &tickets[i]);
    cr_assert_eq(given, 1);
    for (unsigned i = S5_CLEANUPS + 1; i-- > 0;)
        cr_assert_eq(s5_cleanup_pop(all[i], tickets[i]), i != S5_CLEANUPS - 1);
    cr_assert_eq(s5_cleanups.n, 0);
}

/* --- threads, processes --- */

static void *ends(void *unused)
{
    uint32_t ticket;
    hold((uintptr_t)&ticket, &ticket);
    if (unused)
        pause();
    pthread_exit(NULL);
}

Test(cleanup, the_end_of_a_thread_gives_all_back)
{
    pthread_t thread;
    given = 0;
    cr_assert_eq(pthread_create(&thread, NULL, ends, NULL), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(given, 1);
    cr_assert_eq(pthread_create(&thread, NULL, ends, &given), 0);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    cr_assert_eq(given, 2);
}

Test(cleanup, a_fork_within_a_call_asks_for_references_of_its_own)
{
    uint32_t ticket;
    int status;
    struct s5_cleanup *c = hold((uintptr_t)&ticket, &ticket);
    pid_t child = fork();
    if (child == 0) {
        s5_thread_fork_child();
        s5_cleanup_fork_child();
        _exit(forked == 1 && s5_cleanup_pop(c, ticket) ? 0 : 1);
    }
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
    cr_assert(s5_cleanup_pop(c, ticket));
}

/* --- the lock --- */

static struct s5_lock lock;
static long counted;

static void *counts(void *unused)
{
    for (int i = 0; i < 2000; i++) {
        struct s5_critical critical;
        cr_assert(s5_lock_take(&lock, &critical));
        counted++;
        s5_lock_give(&lock, &critical);
    }
    return unused;
}

Test(critical, the_lock_is_one_threads_at_a_time)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, counts, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(counted, 8000);
}

Test(critical, no_handler_runs_and_the_lock_is_not_taken_twice)
{
    struct s5_critical critical, again;
    sigset_t now, before;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    cr_assert(s5_lock_take(&lock, &critical));
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    cr_assert(sigismember(&now, SIGUSR1) && sigismember(&now, SIGALRM));
    cr_assert(!s5_lock_take(&lock, &again));
    s5_lock_give(&lock, &critical);
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    for (int sig = 1; sig < NSIG; sig++)
        cr_assert_eq(sigismember(&now, sig), sigismember(&before, sig));
}

static void *takes(void *user)
{
    struct s5_critical critical;
    s5_lock_take(&lock, &critical);
    atomic_store((_Atomic bool *)user, true);
    pause();
    return NULL;
}

Test(critical, a_child_takes_over_what_a_thread_it_does_not_have_held)
{
    pthread_t thread;
    int status;
    _Atomic bool taken = false;
    cr_assert_eq(pthread_create(&thread, NULL, takes, &taken), 0);
    while (!atomic_load(&taken))
        ;
    pid_t child = fork();
    if (child == 0) {
        struct s5_critical critical;
        s5_thread_fork_child();
        alarm(20);
        _exit(s5_lock_take(&lock, &critical) ? 0 : 1);
    }
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
}

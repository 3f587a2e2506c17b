/* What a thread holds for a call is released when the call has been left, and not before. */
#include "cleanup.h"
#include "critical.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int n_released, n_forked;
static sigjmp_buf outside;

static void release_entry(void *user, struct s5_cleanup *c, bool in_child)
{
    cr_assert_eq(c->object, user);
    if (in_child)
        n_forked++;
    else
        n_released++;
}

static struct s5_cleanup *push_entry(uintptr_t at, uint32_t *ticket)
{
    struct s5_cleanup *c = s5_cleanup_push(release_entry, &n_released, at, ticket);
    c->object = &n_released;
    return c;
}

static __attribute__((noinline)) void push_and_jump(void)
{
    uint32_t ticket;
    push_entry((uintptr_t)&ticket, &ticket);
    siglongjmp(outside, 1);
}

/* Its stack frame is as deep as that of the function that jumped, or less deep. */
static __attribute__((noinline)) void check_entries(void)
{
    char here;
    s5_cleanup_look((uintptr_t)&here);
}

Test(cleanup, a_call_that_was_jumped_out_of_is_released_once)
{
    n_released = 0;
    for (volatile int i = 1; i < 10; i++) {
        if (sigsetjmp(outside, 1) == 0)
            push_and_jump();
        check_entries();
        check_entries();
        cr_assert_eq(n_released, i);
    }
}

Test(cleanup, a_call_that_ends_is_not_released)
{
    uint32_t ticket;
    n_released = 0;
    struct s5_cleanup *c = push_entry((uintptr_t)&ticket, &ticket);
    cr_assert(s5_cleanup_owns(c, ticket) && s5_cleanup_pop(c, ticket));
    cr_assert(!s5_cleanup_owns(c, ticket) && !s5_cleanup_pop(c, ticket));
    check_entries();
    cr_assert_eq(n_released, 0);
}

/* --- in handlers --- */

static int jump_in_handler;

static void on_signal(int sig)
{
    uint32_t ticket;
    (void)sig;
    check_entries();
    struct s5_cleanup *c = push_entry((uintptr_t)&ticket, &ticket);
    if (jump_in_handler)
        siglongjmp(outside, 1);
    cr_assert(s5_cleanup_pop(c, ticket));
}

static void check_interrupted(bool own_stack)
{
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = own_stack ? SA_ONSTACK : 0};
    uint32_t ticket;
    n_released = 0;
    jump_in_handler = 0;
    cr_assert_eq(sigaltstack(&stack, NULL), 0);
    sigaction(SIGUSR1, &action, NULL);
    struct s5_cleanup *c = push_entry((uintptr_t)&ticket, &ticket);
    raise(SIGUSR1);
    cr_assert(s5_cleanup_owns(c, ticket) && n_released == 0);
    /* The handler's call is left while the interrupted one continues. The end of the latter releases it. */
    jump_in_handler = 1;
    if (sigsetjmp(outside, 1) == 0)
        raise(SIGUSR1);
    cr_assert(s5_cleanup_owns(c, ticket));
    cr_assert(s5_cleanup_pop(c, ticket));
    cr_assert_eq(n_released, 1);
    cr_assert_eq(s5_cleanups.n, 0);
}

Test(cleanup, a_handler_does_not_release_what_it_interrupts)
{
    check_interrupted(false);
}

Test(cleanup, a_handler_on_its_own_stack_does_not_either)
{
    check_interrupted(true);
}

/* --- brief entries --- */

static struct s5_cleanup *push_brief(uintptr_t at)
{
    struct s5_cleanup *c = s5_cleanup_begin_brief(release_entry, &n_released, at);
    if (!c && s5_cleanup_first())
        c = s5_cleanup_begin_brief(release_entry, &n_released, at);
    if (c)
        c->object = &n_released;
    return c;
}

static __attribute__((noinline)) void push_brief_and_jump(void)
{
    char here;
    cr_assert(push_brief((uintptr_t)&here));
    siglongjmp(outside, 1);
}

Test(cleanup, a_brief_entry_that_was_jumped_out_of_is_released_once)
{
    n_released = 0;
    for (volatile int i = 1; i < 10; i++) {
        if (sigsetjmp(outside, 1) == 0)
            push_brief_and_jump();
        check_entries();
        check_entries();
        cr_assert_eq(n_released, i);
    }
}

Test(cleanup, a_brief_entry_that_ends_is_not_released)
{
    char here;
    n_released = 0;
    struct s5_cleanup *c = push_brief((uintptr_t)&here);
    cr_assert(c && s5_cleanup_end_brief(c, (uintptr_t)&here));
    cr_assert(!s5_cleanup_end_brief(c, (uintptr_t)&here));
    check_entries();
    cr_assert_eq(n_released, 0);
}

static int found_one;

static void find_brief(int sig)
{
    char here;
    (void)sig;
    check_entries();
    found_one = push_brief((uintptr_t)&here) == NULL;
}

Test(cleanup, a_handler_does_not_release_the_brief_entry)
{
    struct sigaction action = {.sa_handler = find_brief};
    char here;
    n_released = found_one = 0;
    sigaction(SIGUSR1, &action, NULL);
    struct s5_cleanup *c = push_brief((uintptr_t)&here);
    raise(SIGUSR1);
    cr_assert(found_one);
    cr_assert(s5_cleanup_end_brief(c, (uintptr_t)&here));
    cr_assert_eq(n_released, 0);
}

static void *exit_in_brief(void *unused)
{
    char here;
    (void)unused;
    push_brief((uintptr_t)&here);
    pthread_exit(NULL);
}

Test(cleanup, the_end_of_a_thread_releases_a_brief_entry)
{
    pthread_t thread;
    n_released = 0;
    cr_assert_eq(pthread_create(&thread, NULL, exit_in_brief, NULL), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(n_released, 1);
}

/* --- critical sections --- */

static void jump_out(int sig)
{
    (void)sig;
    siglongjmp(outside, 1);
}

static void *return_at_once(void *unused)
{
    return unused;
}

/* A signal that arrives during the section is delivered at its end. Its handler jumps away from there. */
Test(cleanup, a_thread_can_be_cancelled_after_a_jump_out_of_the_end_of_a_critical_section)
{
    struct sigaction action = {.sa_handler = jump_out};
    struct s5_critical critical;
    pthread_t other;
    int state;
    cr_assert_eq(pthread_create(&other, NULL, return_at_once, NULL), 0); /* from now on there may be several threads */
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

Test(cleanup, a_call_beyond_the_limit_replaces_the_one_before)
{
    uint32_t tickets[S5_CLEANUPS + 1];
    struct s5_cleanup *all[S5_CLEANUPS + 1];
    uintptr_t at = (uintptr_t)&tickets + sizeof tickets;
    n_released = 0;
    for (unsigned i = 0; i <= S5_CLEANUPS; i++)
        all[i] = push_entry(at - 1000 * i, &tickets[i]);
    cr_assert_eq(n_released, 1);
    for (unsigned i = S5_CLEANUPS + 1; i-- > 0;)
        cr_assert_eq(s5_cleanup_pop(all[i], tickets[i]), i != S5_CLEANUPS - 1);
    cr_assert_eq(s5_cleanups.n, 0);
}

/* --- threads, processes --- */

static void *exit_in_call(void *unused)
{
    uint32_t ticket;
    push_entry((uintptr_t)&ticket, &ticket);
    if (unused)
        pause();
    pthread_exit(NULL);
}

Test(cleanup, the_end_of_a_thread_releases_everything)
{
    pthread_t thread;
    n_released = 0;
    cr_assert_eq(pthread_create(&thread, NULL, exit_in_call, NULL), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(n_released, 1);
    cr_assert_eq(pthread_create(&thread, NULL, exit_in_call, &n_released), 0);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    cr_assert_eq(n_released, 2);
}

Test(cleanup, a_fork_within_a_call_adds_references)
{
    uint32_t ticket;
    int status;
    struct s5_cleanup *c = push_entry((uintptr_t)&ticket, &ticket);
    pid_t child = fork();
    if (child == 0) {
        s5_thread_fork_child();
        s5_cleanup_fork_child();
        _exit(n_forked == 1 && s5_cleanup_pop(c, ticket) ? 0 : 1);
    }
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
    cr_assert(s5_cleanup_pop(c, ticket));
}

/* --- the lock --- */

static struct s5_lock lock;
static long counted;

static void *count_locked(void *unused)
{
    for (int i = 0; i < 2000; i++) {
        struct s5_critical critical;
        cr_assert(s5_lock_take(&lock, &critical));
        counted++;
        s5_lock_give(&lock, &critical);
    }
    return unused;
}

Test(critical, the_lock_excludes_other_threads)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count_locked, NULL), 0);
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

static void *take_and_sleep(void *user)
{
    struct s5_critical critical;
    s5_lock_take(&lock, &critical);
    atomic_store((_Atomic bool *)user, true);
    pause();
    return NULL;
}

Test(critical, a_child_can_take_a_lock_that_another_thread_held)
{
    pthread_t thread;
    int status;
    _Atomic bool taken = false;
    cr_assert_eq(pthread_create(&thread, NULL, take_and_sleep, &taken), 0);
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

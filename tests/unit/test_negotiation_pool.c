/* Each negotiation is taken once, is reclaimed when its processes have ended, and is locked by one holder. */
#include "clock.h"
#include "engine.h"
#include "pool.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct s5_engine e;
static struct s5_shm *shm;

static void set_up(void)
{
    struct s5_shm_location place;
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    atomic_store(&e.shm, shm);
    atomic_store(&e.shm_fd, place.fd);
    s5_engine_register(&e, 0);
}

/* Forks a child that does WHAT with F. Returns when that is done. */
static pid_t fork_child(bool (*what)(struct s5_engine *e, struct s5_negotiation *f), struct s5_negotiation *f)
{
    int done[2];
    char octet;
    cr_assert_eq(pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        s5_engine_register(&e, 0);
        bool did = what(&e, f);
        _exit(write(done[1], &did, 1) == 1 && pause());
    }
    cr_assert(child > 0 && read(done[0], &octet, 1) == 1 && octet);
    close(done[0]);
    close(done[1]);
    return child;
}

Test(negotiation_pool, each_is_taken_once_and_again_after_its_release, .init = set_up)
{
    struct s5_negotiation *last = NULL;
    for (int i = 0; i < S5_SHM_NEGOTIATIONS; i++) {
        last = s5_negotiation_take(&e);
        cr_assert(last == &shm->negotiations[i], "%d", i);
    }
    cr_assert_null(s5_negotiation_take(&e), "there are no more");
    struct s5_negotiation *free_one = &shm->negotiations[77];
    s5_negotiation_release(&e, free_one);
    s5_negotiation_release(&e, last);
    cr_assert(s5_negotiation_take(&e) == last && s5_negotiation_take(&e) == free_one);
    cr_assert_null(s5_negotiation_take(&e));
    uint32_t generation = s5_negotiation_generation(free_one);
    cr_assert(s5_negotiation_hold(&e, free_one, generation));
    cr_assert_not(s5_negotiation_hold(&e, free_one, generation + 1), "another's");
    s5_negotiation_release(&e, free_one);
    cr_assert_null(s5_negotiation_take(&e), "a reference is left");
    s5_negotiation_release(&e, free_one);
    cr_assert_not(s5_negotiation_hold(&e, free_one, generation), "it is free");
}

Test(negotiation_pool, those_of_killed_processes_are_taken_after_their_deadline, .init = set_up)
{
    while (s5_negotiation_take(&e))
        ;
    struct s5_negotiation *abandoned = &shm->negotiations[4711];
    uint32_t generation = s5_negotiation_generation(abandoned);
    abandoned->deadline = s5_clock_now() - 59 * S5_CLOCK_SECOND;
    cr_assert_null(s5_negotiation_take(&e), "not yet");
    abandoned->deadline = s5_clock_now() - 61 * S5_CLOCK_SECOND;
    cr_assert(s5_negotiation_take(&e) == abandoned);
    cr_assert_eq(s5_negotiation_generation(abandoned), generation + 1, "survivors are told");
    cr_assert_not(s5_negotiation_hold(&e, abandoned, generation));
    cr_assert_null(s5_negotiation_take(&e), "once");
}

Test(negotiation_pool, a_lock_is_held_until_its_holder_dies, .init = set_up)
{
    struct s5_negotiation *f = s5_negotiation_take(&e);
    cr_assert(s5_negotiation_lock(&e, f));
    cr_assert_not(s5_negotiation_try_lock(&e, f), "a handler within a turn");
    cr_assert_not(s5_negotiation_lock(&e, f), "which does not wait for itself");
    s5_negotiation_unlock(f);
    pid_t child = fork_child(s5_negotiation_lock, f);
    cr_assert_not(s5_negotiation_try_lock(&e, f), "its holder lives");
    siginfo_t info;
    kill(child, SIGKILL);
    /* The child is a zombie until it is waited for, at the end. */
    cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    cr_assert(s5_negotiation_try_lock(&e, f), "its holder is dead");
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_eq(s5_session_error(&f->session), -ECONNABORTED, "and left it half done");
    s5_negotiation_unlock(f);
    child = fork_child(s5_negotiation_lock, f);
    kill(child, SIGSTOP);
    cr_assert_not(s5_negotiation_lock(&e, f), "a stopped one is not waited for for ever");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_assert(s5_negotiation_lock(&e, f));
    struct s5_engine without_shm = {.shm_fd = -1};
    cr_assert_null(s5_negotiation_take(&without_shm));
}

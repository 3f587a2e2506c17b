/* Entries of listeners are taken once, kept as long as a reference exists, and reclaimed when their processes
 * have ended. */
#include "listener.h"
#include "listener_pool.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
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

/* Forks a process that remains alive. Returns its number. */
static uint32_t fork_process(pid_t *ret)
{
    int reported[2];
    uint32_t number = 0;
    cr_assert_eq(pipe(reported), 0);
    if ((*ret = fork()) == 0) {
        s5_engine_register(&e, 0);
        number = atomic_load(&e.process_number);
        _exit(write(reported[1], &number, sizeof number) == sizeof number && pause());
    }
    cr_assert(read(reported[0], &number, sizeof number) == sizeof number && number);
    return number;
}

static struct s5_listener *take_listener(uint64_t cookie)
{
    struct s5_listener *l = s5_listener_take(&e);
    if (l)
        atomic_store(&l->cookie, cookie);
    return l;
}

Test(listener_pool, each_is_taken_once_and_again_after_its_release, .init = set_up)
{
    for (uint64_t i = 0; i < S5_SHM_LISTENERS; i++)
        cr_assert(take_listener(i + 1) == &shm->listeners[i]);
    cr_assert_eq(atomic_load(&shm->listeners_used), S5_SHM_LISTENERS);
    cr_assert_null(s5_listener_take(&e), "there are no more, and who has them is alive");
    struct s5_listener *l = &shm->listeners[7];
    uint32_t generation = s5_listener_generation(l);
    l->negotiation.session.username_len = 1;
    pid_t other;
    cr_assert(s5_references_take(&l->references, generation, fork_process(&other)));
    s5_listener_release(&e, l, generation);
    cr_assert_null(s5_listener_take(&e), "another process's reference is left");
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    cr_assert(s5_listener_take(&e) == l, "which has ended");
    l->negotiation.session.username_len = 1;
    generation = s5_listener_generation(l);
    s5_listener_release(&e, l, generation);
    cr_assert_eq(atomic_load(&l->cookie), 0);
    cr_assert_eq(l->negotiation.session.username_len, 0, "wiped");
    cr_assert_not(s5_listener_hold(&e, l, generation), "it is free");
    cr_assert(s5_listener_take(&e) == l);
    cr_assert_not(s5_listener_hold(&e, l, generation), "another's");
    s5_listener_release(&e, l, generation);
    cr_assert_eq((uint32_t)atomic_load(&l->references.use), 1, "none was taken or given back");
}

Test(listener_pool, those_of_ended_processes_are_taken_last, .init = set_up)
{
    while (take_listener(1))
        ;
    struct s5_listener *l = &shm->listeners[3], *other = &shm->listeners[4];
    uint32_t generation = s5_listener_generation(l);
    pid_t child;
    uint32_t number = fork_process(&child);
    for (int i = 0; i < 2; i++) {
        struct s5_references *r = &shm->listeners[3 + i].references;
        cr_assert(s5_references_take(r, (uint32_t)(r->use >> 32), number));
        s5_references_release(r, atomic_load(&e.process_number));
    }
    for (uint32_t i = 1; i <= S5_REFERENCES_PROCESSES; i++)
        s5_references_take(&other->references, s5_listener_generation(other), 0x7fff0000u + i);
    cr_assert_null(s5_listener_take(&e), "they are alive");
    cr_assert(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    cr_assert(s5_listener_take(&e) == l);
    cr_assert_not(s5_listener_hold(&e, l, generation), "survivors are told");
    cr_assert_null(s5_listener_take(&e), "nobody knows who has the other");
}

static _Atomic int over;

/* Takes entries, marks them and releases them. Another thread's mark must never be seen, and an own mark is not
 * wiped. */
static void *take_repeatedly(void *arg)
{
    struct s5_listener *last = &shm->listeners[S5_SHM_LISTENERS - 1], *l;
    uintptr_t mistakes = 0;
    while (!atomic_load(&over)) {
        if ((uint32_t)atomic_load(&last->references.use) != 0 || !(l = s5_listener_take(&e)))
            continue;
        l->negotiation.session.username_len = (uint8_t)(uintptr_t)arg;
        for (int i = 0; i < 50; i++)
            mistakes += *(volatile uint8_t *)&l->negotiation.session.username_len != (uintptr_t)arg;
        s5_listener_release(&e, l, s5_listener_generation(l));
    }
    return (void *)mistakes;
}

Test(listener_pool, a_released_entry_is_cleared_before_it_is_taken_again, .init = set_up, .timeout = 60)
{
    pthread_t threads[4];
    void *mistakes;
    for (uint64_t i = 0; i + 1 < S5_SHM_LISTENERS; i++)
        take_listener(i + 1); /* one remains for all of them */
    for (uintptr_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_repeatedly, (void *)(i + 1)), 0);
    usleep(300000);
    atomic_store(&over, 1);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &mistakes);
        cr_assert_null(mistakes);
    }
}

Test(listener_pool, a_lock_is_held_until_its_holder_dies, .init = set_up)
{
    struct s5_listener *l = s5_listener_take(&e);
    l->bound = true;
    cr_assert(s5_listener_try_lock(&e, l));
    cr_assert_not(s5_listener_try_lock(&e, l));
    s5_listener_unlock(l);
    pid_t child = fork();
    if (child == 0) {
        s5_engine_register(&e, 0);
        _exit(s5_listener_try_lock(&e, l) ? 0 : 1);
    }
    int status;
    cr_assert(waitpid(child, &status, 0) == child && status == 0);
    cr_assert(s5_listener_try_lock(&e, l), "its holder is dead");
    cr_assert_not(l->bound, "and left it half done");
}

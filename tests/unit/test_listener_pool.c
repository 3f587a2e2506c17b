/* Entries of listeners are given out once, kept as long as one refers to them, and found again when
 * their processes are dead. */
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

static void begin(void)
{
    struct s5_shm_location place;
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    atomic_store(&e.shm, shm);
    atomic_store(&e.shm_fd, place.fd);
    s5_engine_register(&e, 0);
}

/* Another process, which lives on; its number. */
static uint32_t another(pid_t *ret)
{
    int told[2];
    uint32_t number = 0;
    cr_assert_eq(pipe(told), 0);
    if ((*ret = fork()) == 0) {
        s5_engine_register(&e, 0);
        number = atomic_load(&e.process_number);
        _exit(write(told[1], &number, sizeof number) == sizeof number && pause());
    }
    cr_assert(read(told[0], &number, sizeof number) == sizeof number && number);
    return number;
}

static struct s5_listener *begun(uint64_t cookie)
{
    struct s5_listener *l = s5_listener_take(&e);
    if (l)
        atomic_store(&l->cookie, cookie);
    return l;
}

Test(listener_pool, each_is_given_once_and_again_when_it_is_free, .init = begin)
{
    for (uint64_t i = 0; i < S5_SHM_LISTENERS; i++)
        cr_assert(begun(i + 1) == &shm->listeners[i]);
    cr_assert_eq(atomic_load(&shm->listeners_used), S5_SHM_LISTENERS);
    cr_assert_null(s5_listener_take(&e), "there are no more, and who has them is alive");
    struct s5_listener *l = &shm->listeners[7];
    uint32_t generation = s5_listener_generation(l);
    l->negotiation.session.username_len = 1;
    pid_t other;
    cr_assert(s5_references_take(&l->references, generation, another(&other)));
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
    cr_assert_not(s5_listener_hold(&e, l, generation), "nobody's");
    cr_assert(s5_listener_take(&e) == l);
    cr_assert_not(s5_listener_hold(&e, l, generation), "another's");
    s5_listener_release(&e, l, generation);
    cr_assert_eq((uint32_t)atomic_load(&l->references.use), 1, "none was taken or given back");
}

Test(listener_pool, those_of_the_dead_are_taken_when_there_are_no_others, .init = begin)
{
    while (begun(1))
        ;
    struct s5_listener *l = &shm->listeners[3], *other = &shm->listeners[4];
    uint32_t generation = s5_listener_generation(l);
    pid_t child;
    uint32_t number = another(&child);
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

/* Frees what it takes, with a mark in it: nobody else's is ever there, and none is wiped. */
static void *takes(void *arg)
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

Test(listener_pool, what_is_freed_is_cleared_before_another_has_it, .init = begin, .timeout = 60)
{
    pthread_t threads[4];
    void *mistakes;
    for (uint64_t i = 0; i + 1 < S5_SHM_LISTENERS; i++)
        begun(i + 1); /* one is left for all of them */
    for (uintptr_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, takes, (void *)(i + 1)), 0);
    usleep(300000);
    atomic_store(&over, 1);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &mistakes);
        cr_assert_null(mistakes);
    }
}

Test(listener_pool, a_lock_is_its_holders_until_he_is_dead, .init = begin)
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

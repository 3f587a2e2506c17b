/* References to shared objects: counted once, released once, and taken back from processes that have ended or
 * never started. */
#include "engine.h"
#include "process.h"
#include "references.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static struct s5_references r;
static struct s5_shm *shm;
static int fd;
static uint32_t self;

static void set_up(void)
{
    struct s5_shm_location place;
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    fd = place.fd;
    self = s5_process_register(fd, s5_process_number(&shm->processes));
    s5_references_begin(&r, self, 1);
}

static unsigned count_processes(void)
{
    return (uint32_t)atomic_load(&r.use);
}

/* Forks a process that remains alive and is registered as NUMBER. */
static pid_t fork_process(uint32_t number)
{
    int registered[2];
    char octet;
    cr_assert_eq(pipe(registered), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(s5_process_register(fd, number) == number && write(registered[1], "", 1) == 1 && pause());
    cr_assert(pid > 0 && read(registered[0], &octet, 1) == 1);
    return pid;
}

static void kill_process(pid_t pid)
{
    cr_assert(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

Test(references, the_last_release_ends_a_generation, .init = set_up)
{
    uint32_t generation = s5_references_generation(&r);
    cr_assert(s5_references_take(&r, generation, self));
    cr_assert(s5_references_take(&r, generation, 4711));
    cr_assert_eq(count_processes(), 2);
    cr_assert_not(s5_references_take(&r, generation + 1, self), "another's");
    cr_assert_not(s5_references_release(&r, self));
    cr_assert_not(s5_references_release(&r, self));
    cr_assert_not(s5_references_release(&r, self), "it has none left");
    cr_assert(s5_references_release(&r, 4711));
    cr_assert_not(s5_references_take(&r, generation, self), "it is free");
    cr_assert_not(s5_references_claim(&r), "it is being cleared away");
    s5_references_end(&r);
    cr_assert_eq(s5_references_generation(&r), generation + 1);
    cr_assert(s5_references_claim(&r));
    s5_references_begin(&r, self, 2);
    cr_assert_not(s5_references_take(&r, generation, self), "late");
    cr_assert_not(s5_references_release(&r, self));
    cr_assert(s5_references_release(&r, self));
}

Test(references, a_reservation_is_confirmed_or_taken_back, .init = set_up)
{
    uint32_t generation = s5_references_generation(&r), first = 1001, second = 1002;
    cr_assert(s5_references_reserve(&r, generation, first) && s5_references_reserve(&r, generation, second));
    cr_assert_eq(count_processes(), 3, "two forks at once");
    cr_assert_not(s5_references_take_back(&r, first), "that fork failed; others have it");
    cr_assert_not(s5_references_confirm(&r, generation, first, first), "and nothing is left of it");
    cr_assert_not(s5_references_take_back(&r, first), "once");
    cr_assert_eq(count_processes(), 2);
    cr_assert(s5_references_confirm(&r, generation, second, second));
    cr_assert_not(s5_references_confirm(&r, generation, second, second), "once");
    cr_assert_not(s5_references_take_back(&r, second), "its own");
    cr_assert_not(s5_references_release(&r, self));
    cr_assert(s5_references_take(&r, generation, second), "the child goes on with it");
    cr_assert_not(s5_references_release(&r, second));
    cr_assert(s5_references_release(&r, second));
    s5_references_end(&r);
    s5_references_begin(&r, self, 1);
    generation = s5_references_generation(&r);
    cr_assert(s5_references_reserve(&r, generation, first));
    cr_assert_not(s5_references_release(&r, self));
    cr_assert(s5_references_take_back(&r, first), "the last one, where the parent has closed it meanwhile");
}

Test(references, those_of_ended_processes_are_taken_back, .init = set_up)
{
    uint32_t generation = s5_references_generation(&r);
    uint32_t number = s5_process_number(&shm->processes), unborn = s5_process_number(&shm->processes);
    pid_t child = fork_process(number);
    for (int i = 0; i < 3; i++)
        cr_assert(s5_references_take(&r, generation, number));
    cr_assert(s5_references_reserve(&r, generation, unborn));
    cr_assert(s5_references_take(&r, generation, 7 | S5_PROCESS_UNPROVEN));
    cr_assert_not(s5_references_sweep(&r, fd, self, false));
    cr_assert_eq(count_processes(), 4, "they live");
    kill_process(child);
    cr_assert_not(s5_references_sweep(&r, fd, self, false));
    cr_assert_eq(count_processes(), 3, "a child may come still");
    cr_assert_not(s5_references_release(&r, number), "late");
    cr_assert_not(s5_references_sweep(&r, fd, self, true));
    cr_assert_eq(count_processes(), 2, "nobody knows whether the one without proof has ended");
    cr_assert_not(s5_references_release(&r, self));
    cr_assert(s5_references_release(&r, 7 | S5_PROCESS_UNPROVEN));
}

Test(references, an_exec_takes_the_references_over, .init = set_up)
{
    uint32_t generation = s5_references_generation(&r);
    uint32_t after = s5_process_register(fd, s5_process_number(&shm->processes));
    cr_assert(s5_references_take(&r, generation, self), "a thread that is no more");
    cr_assert(s5_references_take_over(&r, fd, after));
    cr_assert_not(s5_references_take_over(&r, fd, after), "once");
    s5_process_end_before(fd, after);
    cr_assert_not(s5_references_release(&r, self));
    cr_assert(s5_references_release(&r, after));
}

Test(references, more_processes_than_have_entries, .init = set_up)
{
    enum { MANY = 3 * S5_REFERENCES_PROCESSES };
    uint32_t generation = s5_references_generation(&r);
    for (uint32_t i = 0; i < MANY; i++) {
        cr_assert(s5_references_reserve(&r, generation, 5000 + i));
        cr_assert(s5_references_confirm(&r, generation, 5000 + i, 5000 + i));
    }
    cr_assert_eq(count_processes(), S5_REFERENCES_PROCESSES + 1, "the crowd is one");
    cr_assert_not(s5_references_sweep(&r, fd, self, true), "which is never gone");
    cr_assert_eq(count_processes(), 2);
    cr_assert(s5_references_seize(&r, generation), "but by force");
    cr_assert_not(s5_references_release(&r, self));
    s5_references_begin(&r, self, 1);
    generation = s5_references_generation(&r);
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert(s5_references_take(&r, generation, 5000 + i));
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_not(s5_references_release(&r, 5000 + i), "%u", i);
    cr_assert(s5_references_release(&r, self));
}

Test(references, a_copy_belongs_to_one_process, .init = set_up)
{
    uint32_t generation = s5_references_generation(&r);
    cr_assert(s5_references_take(&r, generation, self) && s5_references_take(&r, generation, 4711));
    cr_assert(s5_references_reserve(&r, generation, 4712));
    cr_assert_eq(s5_references_of(&r, self), 2);
    cr_assert_eq(s5_references_of(&r, 4711), 1);
    cr_assert_eq(s5_references_of(&r, 4712), 0, "not confirmed");
    s5_references_begin_anew(&r, generation, self, 2);
    cr_assert_not(s5_references_are_shared(&r));
    cr_assert_not(s5_references_confirm(&r, generation, 4712, 4712));
    cr_assert_not(s5_references_release(&r, 4711));
    cr_assert_not(s5_references_release(&r, self));
    cr_assert(s5_references_release(&r, self));
    s5_references_begin_anew(&r, generation + 1, 4713, 1);
    cr_assert_not(s5_references_take(&r, generation, self), "late");
    cr_assert(s5_references_sweep(&r, fd, self, false), "4713 has ended");
}

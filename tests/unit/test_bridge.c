/* Starting the bridge: programs that are none, and those that were started by others. What stands in for it is a script
 * or this process itself. */
#include "bridge.h"
#include "clock.h"
#include "process.h"
#include "shm.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct s5_shm_location place;

/* Nobody has to be waited for, neither children nor what was started: a process that has ended is gone. */
static struct s5_bridge_start start_of(const char *path)
{
    static char *none[] = {NULL};
    cr_assert(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    struct s5_bridge_start how = {.path = path, .environ_strings = none, .error_fd = -1};
    cr_assert_eq(s5_shm_create(&how.shm, &place), 0);
    how.shm_fd = place.fd;
    how.process = s5_process_register(place.fd, s5_process_number(&how.shm->processes));
    return how;
}

/* Another process is the tree's bridge. It ends when what is returned is closed, or with this one. */
static int another(const struct s5_bridge_start *how, pid_t *ret)
{
    int ends[2], told[2];
    char octet;
    cr_assert(pipe(ends) == 0 && pipe(told) == 0);
    *ret = fork();
    if (*ret == 0) {
        close(ends[1]);
        if (s5_bridge_claim(how->shm_fd) && write(told[1], "", 1) == 1)
            (void)!read(ends[0], &octet, 1);
        _exit(0);
    }
    close(ends[0]);
    close(told[1]);
    cr_assert_eq(read(told[0], &octet, 1), 1);
    close(told[0]);
    return ends[1];
}

static void await_end(pid_t pid)
{
    cr_assert(waitpid(pid, NULL, 0) == -1 && errno == ECHILD);
}

Test(bridge, a_program_that_ends_or_is_none_is_no_bridge)
{
    static const char *const paths[] = {"/bin/true", "/nowhere/to/be/found", "/etc/passwd"};
    for (int i = 0; i < 3; i++) {
        struct s5_bridge_start how = start_of(paths[i]);
        uint64_t begun = s5_clock_now();
        errno = 4711;
        for (int again = 0; again < 2; again++)
            cr_assert_eq(s5_bridge_ensure(&how), -ECONNREFUSED, "%s", paths[i]);
        cr_assert_eq(errno, 4711);
        cr_assert_lt(s5_clock_now() - begun, 8 * S5_CLOCK_SECOND, "its end is noticed");
        cr_assert(!s5_bridge_is_up(&how));
        cr_assert_eq(atomic_load(&how.shm->bridge.state), S5_BRIDGE_NONE, "another may be started");
    }
}

Test(bridge, there_is_none_without_the_trees_file)
{
    struct s5_bridge_start how = start_of("/bin/true");
    how.shm_fd = -1;
    cr_assert_eq(s5_bridge_ensure(&how), -ECONNREFUSED);
}

/* It is there, and says so: nothing is started. */
Test(bridge, one_that_is_up_is_used)
{
    struct s5_bridge_start how = start_of("/nowhere/to/be/found");
    pid_t pid;
    int fd = another(&how, &pid);
    atomic_store(&how.shm->bridge.ready, 1);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(s5_bridge_ensure(&how), 0);
    cr_assert(s5_bridge_is_up(&how));
    close(fd);
    await_end(pid);
    cr_assert(!s5_bridge_is_up(&how), "it has ended");
    cr_assert_eq(s5_bridge_ensure(&how), -ECONNREFUSED, "and another is tried");
}

/* A bridge is about to leave, and ends instead of staying: another is started. */
static void *soon(void *fd)
{
    usleep(200000);
    close((int)(intptr_t)fd);
    return NULL;
}

Test(bridge, one_that_leaves_is_followed_by_another)
{
    struct s5_bridge_start how = start_of("/bin/true");
    pid_t pid;
    pthread_t thread;
    int fd = another(&how, &pid);
    int32_t starter = 0;
    s5_bridge_leave(how.shm);
    cr_assert(!s5_bridge_is_wanted(how.shm, &starter));
    cr_assert_eq(pthread_create(&thread, NULL, soon, (void *)(intptr_t)fd), 0);
    cr_assert_eq(s5_bridge_ensure(&how), -ECONNREFUSED, "what was started is none");
    cr_assert_eq(pthread_join(thread, NULL), 0);
    await_end(pid);
    cr_assert_gt(atomic_load(&how.shm->bridge.pid), 0, "it was started");
}

/* Whoever waits for it asks who is at it. */
static void *stays(void *user)
{
    const struct s5_bridge_start *how = user;
    int32_t starter = 0;
    while (!s5_bridge_is_wanted(how->shm, &starter))
        usleep(1000);
    cr_assert_eq(starter, (int32_t)getpid());
    atomic_store(&how->shm->bridge.ready, 1);
    return NULL;
}

Test(bridge, one_that_is_wanted_again_stays)
{
    struct s5_bridge_start how = start_of("/nowhere/to/be/found");
    pid_t pid;
    pthread_t thread;
    int fd = another(&how, &pid);
    s5_bridge_leave(how.shm);
    cr_assert_eq(pthread_create(&thread, NULL, stays, &how), 0);
    cr_assert_eq(s5_bridge_ensure(&how), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert(s5_bridge_is_up(&how));
    close(fd);
    await_end(pid);
}

/* Who was starting one has ended over it. */
Test(bridge, a_start_that_another_process_left_is_given_up)
{
    struct s5_bridge_start how = start_of("/bin/true");
    struct s5_bridge_place *b = &how.shm->bridge;
    pid_t pid = fork();
    if (pid == 0) {
        uint32_t number = s5_process_register(how.shm_fd, s5_process_number(&how.shm->processes));
        atomic_store(&b->starter, (int32_t)getpid());
        atomic_store(&b->process, number);
        atomic_store(&b->until, s5_clock_now() + 600 * S5_CLOCK_SECOND);
        atomic_store(&b->state, S5_BRIDGE_STARTING);
        _exit(0);
    }
    await_end(pid);
    uint64_t begun = s5_clock_now();
    cr_assert_eq(s5_bridge_ensure(&how), -ECONNREFUSED, "what this process started is none");
    cr_assert_lt(s5_clock_now() - begun, 8 * S5_CLOCK_SECOND);
    cr_assert_eq(atomic_load(&b->starter), (int32_t)getpid());
}

/* Starting the bridge: programs that are not one, and bridges that other processes started. A script or this
 * process takes the place of the bridge. */
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

/* Children and the started programs are reaped automatically, so a process that has ended no longer exists. */
static struct s5_bridge_start make_start(const char *path)
{
    static char *none[] = {NULL};
    cr_assert(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    struct s5_bridge_start how = {.path = path, .environ_strings = none, .error_fd = -1};
    cr_assert_eq(s5_shm_create(&how.shm, &place), 0);
    how.shm_fd = place.fd;
    how.process = s5_process_register(place.fd, s5_process_number(&how.shm->processes));
    return how;
}

/* Forks a process that claims the role of the bridge. It ends when the returned descriptor is closed, or with
 * this process. */
static int fork_bridge(const struct s5_bridge_start *how, pid_t *ret)
{
    int ends[2], claimed[2];
    char octet;
    cr_assert(pipe(ends) == 0 && pipe(claimed) == 0);
    *ret = fork();
    if (*ret == 0) {
        close(ends[1]);
        if (s5_bridge_claim(how->shm_fd) && write(claimed[1], "", 1) == 1)
            (void)!read(ends[0], &octet, 1);
        _exit(0);
    }
    close(ends[0]);
    close(claimed[1]);
    cr_assert_eq(read(claimed[0], &octet, 1), 1);
    close(claimed[0]);
    return ends[1];
}

static void await_end(pid_t pid)
{
    cr_assert(waitpid(pid, NULL, 0) == -1 && errno == ECHILD);
}

Test(bridge, a_program_that_ends_or_does_not_exist_fails)
{
    static const char *const paths[] = {"/bin/true", "/nowhere/to/be/found", "/etc/passwd"};
    for (int i = 0; i < 3; i++) {
        struct s5_bridge_start how = make_start(paths[i]);
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

Test(bridge, none_is_started_without_shared_state)
{
    struct s5_bridge_start how = make_start("/bin/true");
    how.shm_fd = -1;
    cr_assert_eq(s5_bridge_ensure(&how), -ECONNREFUSED);
}

/* A bridge is ready, so nothing is started. */
Test(bridge, a_running_one_is_used)
{
    struct s5_bridge_start how = make_start("/nowhere/to/be/found");
    pid_t pid;
    int fd = fork_bridge(&how, &pid);
    atomic_store(&how.shm->bridge.ready, 1);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(s5_bridge_ensure(&how), 0);
    cr_assert(s5_bridge_is_up(&how));
    close(fd);
    await_end(pid);
    cr_assert(!s5_bridge_is_up(&how), "it has ended");
    cr_assert_eq(s5_bridge_ensure(&how), -ECONNREFUSED, "and another is tried");
}

/* A bridge is about to leave and ends. Another one is started. */
static void *close_later(void *fd)
{
    usleep(200000);
    close((int)(intptr_t)fd);
    return NULL;
}

Test(bridge, one_that_leaves_is_replaced)
{
    struct s5_bridge_start how = make_start("/bin/true");
    pid_t pid;
    pthread_t thread;
    int fd = fork_bridge(&how, &pid);
    int32_t starter = 0;
    s5_bridge_leave(how.shm);
    cr_assert(!s5_bridge_is_wanted(how.shm, &starter));
    cr_assert_eq(pthread_create(&thread, NULL, close_later, (void *)(intptr_t)fd), 0);
    cr_assert_eq(s5_bridge_ensure(&how), -ECONNREFUSED, "what was started is none");
    cr_assert_eq(pthread_join(thread, NULL), 0);
    await_end(pid);
    cr_assert_gt(atomic_load(&how.shm->bridge.pid), 0, "it was started");
}

/* Plays the bridge: waits until it is requested again, and becomes ready. */
static void *become_ready(void *user)
{
    const struct s5_bridge_start *how = user;
    int32_t starter = 0;
    while (!s5_bridge_is_wanted(how->shm, &starter))
        usleep(1000);
    cr_assert_eq(starter, (int32_t)getpid());
    atomic_store(&how->shm->bridge.ready, 1);
    return NULL;
}

Test(bridge, one_that_is_wanted_again_remains)
{
    struct s5_bridge_start how = make_start("/nowhere/to/be/found");
    pid_t pid;
    pthread_t thread;
    int fd = fork_bridge(&how, &pid);
    s5_bridge_leave(how.shm);
    cr_assert_eq(pthread_create(&thread, NULL, become_ready, &how), 0);
    cr_assert_eq(s5_bridge_ensure(&how), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert(s5_bridge_is_up(&how));
    close(fd);
    await_end(pid);
}

/* The process that was starting a bridge has ended. */
Test(bridge, an_abandoned_start_is_given_up)
{
    struct s5_bridge_start how = make_start("/bin/true");
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

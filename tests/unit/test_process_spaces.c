/* The end of a process is detected across PID namespaces, in which process IDs refer to other processes. Needs
 * root to make one. */
#include "engine.h"
#include "pool.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct s5_engine e;

Test(process_spaces, a_holder_in_another_pid_namespace_is_alive_until_it_ends)
{
    struct s5_shm *shm;
    struct s5_shm_location place;
    int locked[2];
    char octet;
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    atomic_store(&e.shm, shm);
    atomic_store(&e.shm_fd, place.fd);
    s5_engine_register(&e, 0);
    struct s5_negotiation *f = s5_negotiation_take(&e);
    cr_assert_eq(pipe(locked), 0);
    pid_t outer = fork();
    if (outer == 0) {
        if (unshare(CLONE_NEWPID) != 0)
            _exit(1);
        if (fork() == 0) { /* process 1 of the namespace */
            s5_engine_register(&e, 0);
            _exit(s5_negotiation_lock(&e, f) && write(locked[1], "", 1) == 1 && pause());
        }
        _exit(pause());
    }
    close(locked[1]);
    cr_assert_eq(read(locked[0], &octet, 1), 1, "needs root");
    cr_assert_not(s5_negotiation_try_lock(&e, f), "its holder lives");
    char children[64], command[96];
    snprintf(children, sizeof children, "/proc/%d/task/%d/children", (int)outer, (int)outer);
    snprintf(command, sizeof command, "kill -9 $(cat %s)", children);
    cr_assert_eq(system(command), 0);
    for (int i = 0; i < 200 && !s5_negotiation_try_lock(&e, f); i++)
        usleep(20000);
    cr_assert_not(s5_negotiation_try_lock(&e, f), "we have it now");
    cr_assert_eq(s5_session_error(&f->session), -ECONNABORTED);
    kill(outer, SIGKILL);
    cr_assert_eq(waitpid(outer, NULL, 0), outer);
}

/* A process that no longer runs as the user whose shared state it has. Needs root to make one. */
#include "clock.h"
#include "engine.h"
#include "leave.h"
#include "pool.h"
#include "process.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534 };
static const char secret[] = "the secret word";
static const uint64_t fingerprint = 1;

static struct s5_calls calls;
static struct s5_engine e;
static struct s5_shm *shm;
static struct s5_negotiation *own, *others, *common; /* held by the child, by the parent, and by both */

static int plain_fcntl(int fd, int command, long arg)
{
    return fcntl(fd, command, arg);
}

static void set_up(void)
{
    struct s5_shm_location place;
    cr_assert_eq(geteuid(), 0, "needs root");
    calls.fcntl = plain_fcntl;
    calls.dup3 = dup3;
    calls.close = close;
    e.real = &calls;
    atomic_store(&e.pid, (uint32_t)getpid());
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    s5_engine_set_shm_location(&e, &place);
    atomic_store(&e.shm, shm);
    s5_engine_register(&e, 0);
}

/* The policy contains a password and the name of a file that only root can read. */
static void write_policy(void)
{
    struct s5_policy *p = calloc(1, sizeof *p);
    cr_assert_not_null(p);
    s5_policy_init(p);
    cr_assert_eq(s5_policy_add_server(p, "server"), 0);
    strcpy(p->servers[0].password, secret);
    s5_shm_publish(shm, atomic_load(&e.shm_fd), p, fingerprint, "/root/servers");
    free(p);
    e.policy_file = s5_shm_policy(shm, atomic_load(&e.shm_fd), &fingerprint);
    cr_assert_not_null(e.policy_file);
    cr_assert_str_eq(e.policy_file->server_cache_path, "/root/servers");
    e.policy = &e.policy_file->policy;
}

static struct s5_negotiation *take_negotiation(void)
{
    struct s5_negotiation *f = s5_negotiation_take(&e);
    cr_assert_not_null(f);
    memcpy(f->session.password, secret, sizeof secret);
    atomic_store(&f->phase, S5_NEGOTIATION_TALKING);
    return f;
}

static bool has_secret(const struct s5_negotiation *f)
{
    return memcmp(f->session.password, secret, sizeof secret) == 0;
}

/* What concerns the child is checked in the child. Its exit status returns the line of the failed check. */
#define CHECK(what)                                                                                                    \
    if (!(what))                                                                                                       \
    _exit((__LINE__) % 255 + 1)

static void become_child(void)
{
    atomic_store(&e.pid, (uint32_t)getpid());
    s5_engine_register(&e, 0);
    own = take_negotiation();
    CHECK(s5_negotiation_hold(&e, common, s5_negotiation_generation(common)));
}

/* Runs WHAT in a child, which is a process of the same tree. */
static void run_in_child(void (*what)(void))
{
    int status;
    others = take_negotiation();
    common = take_negotiation();
    pid_t child = fork();
    if (child == 0) {
        become_child();
        what();
        _exit(0);
    }
    cr_assert(waitpid(child, &status, 0) == child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "line %d", WEXITSTATUS(status) - 1);
}

static void leave_for_good(void)
{
    struct stat before, after;
    int fd = atomic_load(&e.shm_fd), watch = open("/proc/self/fd", O_RDONLY);
    CHECK(fstat(fd, &before) == 0 && watch >= 0);
    CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
    errno = EXDEV;
    s5_leave_if_foreign(&e);
    CHECK(errno == EXDEV);
    CHECK(atomic_load(&e.shm) == shm && atomic_load(&e.shm_fd) == fd);
    CHECK(fstat(fd, &after) == 0 && after.st_ino != before.st_ino && after.st_uid == NOBODY);
    CHECK(e.place.inode == after.st_ino && s5_shm_is(fd, after.st_ino));
    CHECK(has_secret(own) && atomic_load(&own->phase) == S5_NEGOTIATION_TALKING && atomic_load(&own->lock) == 0);
    CHECK(!has_secret(others));
    CHECK(atomic_load(&common->phase) == S5_NEGOTIATION_FAILED && common->error == -ECONNABORTED);
    CHECK(!s5_references_are_shared(&common->references));
    CHECK(strcmp(e.policy->servers[0].password, secret) == 0 && !e.policy_file->server_cache_path[0]);
    struct s5_policy_file *again = s5_shm_policy(shm, fd, &fingerprint);
    CHECK(again && strcmp(again->policy.servers[0].password, secret) == 0 && !again->server_cache_path[0]);
    CHECK(pwrite(fd + 1, secret, sizeof secret, 0) < 0);
    struct s5_negotiation *f = s5_negotiation_take(&e);
    CHECK(f && f != own && f != common);
    s5_negotiation_release(&e, f);
    s5_negotiation_release(&e, own);
    memset(shm->negotiations, 0xff, 100 * sizeof shm->negotiations[0]);
    s5_leave_if_foreign(&e); /* now its own, so nothing happens */
    CHECK(fstat(fd, &before) == 0 && before.st_ino == after.st_ino);
}

Test(leave, a_process_without_the_rights_gets_a_copy, .init = set_up)
{
    write_policy();
    run_in_child(leave_for_good);
    cr_assert(has_secret(others) && has_secret(common));
    cr_assert_eq(atomic_load(&common->phase), S5_NEGOTIATION_TALKING);
    cr_assert(s5_negotiation_try_lock(&e, common), "nobody holds it");
    s5_negotiation_release(&e, common);
    cr_assert(s5_references_sweep(&common->references, atomic_load(&e.shm_fd), atomic_load(&e.process_number), true),
              "who left has ended");
}

/* A policy that the child makes must not become that of the user whose rights it has given up. */
static void leave_before_there_is_a_policy(void)
{
    struct stat before, after;
    int fd = atomic_load(&e.shm_fd);
    CHECK(fstat(fd + 1, &before) == 0);
    CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
    s5_leave_if_foreign(&e);
    CHECK(fstat(fd + 1, &after) == 0 && after.st_ino != before.st_ino);
    CHECK(after.st_uid == NOBODY);
    write_policy();
}

Test(leave, a_later_policy_is_not_shared, .init = set_up)
{
    run_in_child(leave_before_there_is_a_policy);
    cr_assert_null(s5_shm_policy(shm, atomic_load(&e.shm_fd), NULL));
}

static void keep_saved_id(void)
{
    struct stat before, after;
    int fd = atomic_load(&e.shm_fd);
    CHECK(fstat(fd, &before) == 0);
    CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0 && seteuid(NOBODY) == 0);
    s5_leave_if_foreign(&e);
    CHECK(seteuid(0) == 0 && setresuid(NOBODY, NOBODY, 0) == 0);
    s5_leave_if_foreign(&e);
    CHECK(fstat(fd, &after) == 0 && before.st_ino == after.st_ino && has_secret(others));
}

Test(leave, a_process_that_can_regain_the_rights_keeps_the_shared_state, .init = set_up)
{
    run_in_child(keep_saved_id);
}

static void change_in_vfork(void)
{
    CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    atomic_fetch_add(&e.pid, 1); /* as if this were another process's memory */
    s5_leave_before(&e);
    s5_leave_after(&e, true);
    CHECK(has_secret(others) && !atomic_load(&e.changing));
}

Test(leave, nothing_happens_in_a_child_of_vfork, .init = set_up)
{
    run_in_child(change_in_vfork);
}

static void fork_meanwhile(void)
{
    s5_leave_before(&e);
    CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    pid_t child = fork();
    if (child == 0) {
        atomic_store(&e.pid, (uint32_t)getpid());
        s5_engine_register(&e, 0);
        s5_leave_fork_child(&e);
        CHECK(!has_secret(others) && !atomic_load(&e.changing));
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0 && has_secret(others));
}

Test(leave, a_fork_between_the_change_and_the_copy, .init = set_up)
{
    run_in_child(fork_meanwhile);
}

static void leave_without_a_file(void)
{
    struct rlimit small = {4096, 4096};
    int fd = atomic_load(&e.shm_fd);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    CHECK(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
    s5_leave_if_foreign(&e);
    CHECK(fcntl(fd, F_GETFD) < 0 && atomic_load(&e.shm_fd) == -1 && !e.state[0]);
    CHECK(has_secret(own) && !has_secret(others));
    CHECK(fcntl(fd + 1, F_GETFD) < 0 && strcmp(e.policy->servers[0].password, secret) == 0);
}

Test(leave, without_a_new_file, .init = set_up)
{
    write_policy();
    run_in_child(leave_without_a_file);
}

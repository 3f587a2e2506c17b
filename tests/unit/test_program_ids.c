/* Programs that run with other rights than their caller's. The files belong to other users, which needs root. */
#include "program_files.h"
#include <sys/wait.h>

TestSuite(program_ids, .init = enter, .fini = leave);

#ifdef __x86_64__
/* Runs FN in a child as the user nobody. Returns whether FN returned true. */
static bool as_nobody(bool (*fn)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(setgid(65534) == 0 && setuid(65534) == 0 && fn() ? 0 : 1);
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool check_own_set_id(void)
{
    return check("./nobodys") == 0;
}

static bool check_roots_set_id(void)
{
    return check("./roots") == 1 && report.coverage == S5_UNCOVERED_SETUID;
}

static bool check_capable(void)
{
    return check("./capable") == 1 && report.coverage == S5_UNCOVERED_CAPS;
}

static bool check_unreadable(void)
{
    return check("./unreadable") == 1 && report.coverage == S5_UNCOVERED_UNREADABLE;
}

Test(program_ids, privileges)
{
    cr_assert_eq(geteuid(), 0, "needs root, to make files of other users");
    struct image i = image(OWN_LOADER);
    put("roots", &i, sizeof i, 0755);
    cr_assert_eq(chmod("roots", 04755), 0);
    expect("./roots", S5_COVERED); /* root's IDs do not change */
    cr_assert(as_nobody(check_roots_set_id));
    cr_assert_eq(chmod("roots", 02755), 0);
    cr_assert(as_nobody(check_roots_set_id));
    put("nobodys", &i, sizeof i, 0755);
    cr_assert_eq(chown("nobodys", 65534, 65534), 0);
    cr_assert_eq(chmod("nobodys", 06755), 0);
    expect("./nobodys", S5_UNCOVERED_SETUID);
    cr_assert(as_nobody(check_own_set_id));
    cr_assert_eq(chmod("nobodys", 02745), 0); /* without execute permission for the group this is no set-id bit */
    expect("./nobodys", S5_COVERED);
    put("unreadable", &i, sizeof i, 0711);
    cr_assert(as_nobody(check_unreadable));
    /* VFS_CAP_REVISION_2, effective, cap_net_raw */
    static const unsigned char cap[20] = {1, 0, 0, 2, 0, 0x20};
    put("capable", &i, sizeof i, 0755);
    cr_assert_eq(setxattr("capable", "security.capability", cap, sizeof cap, 0), 0,
                 "needs a /tmp that keeps capabilities");
    expect("./capable", S5_COVERED); /* they add nothing to root's rights */
    cr_assert(as_nobody(check_capable));
}

Test(program_ids, real_and_effective_ids_that_differ)
{
    cr_assert_eq(geteuid(), 0, "needs root");
    cr_assert_eq(seteuid(65534), 0);
    expect("/bin/true", S5_UNCOVERED_SETUID);
    cr_assert_eq(seteuid(0), 0);
}
#endif

/* A process that changes its user or group IDs may have to leave the memory that it shares (process/leave.h). libc's
 * functions change the IDs of all threads before they return. Not hooked are setfsuid(), which changes the file
 * system's ID of a process that keeps its other IDs, and capset(), which leaves capabilities to a process without user
 * IDs that have them: neither gives up a user's rights. */
#include "leave.h"
#include "start.h"
#include <unistd.h>

#define CHANGES(name, params, args)                                                                                    \
    HOOK(int, name, params)                                                                                            \
    {                                                                                                                  \
        FIND(real, name);                                                                                              \
        struct s5_engine *e = s5_begin();                                                                              \
        s5_leave_before(e);                                                                                            \
        int r = real args;                                                                                             \
        s5_leave_after(e, r == 0);                                                                                     \
        return r;                                                                                                      \
    }

CHANGES(setuid, (uid_t user), (user))
CHANGES(seteuid, (uid_t user), (user))
CHANGES(setreuid, (uid_t real_user, uid_t user), (real_user, user))
CHANGES(setresuid, (uid_t real_user, uid_t user, uid_t saved), (real_user, user, saved))
CHANGES(setgid, (gid_t group), (group))
CHANGES(setegid, (gid_t group), (group))
CHANGES(setregid, (gid_t real_group, gid_t group), (real_group, group))
CHANGES(setresgid, (gid_t real_group, gid_t group, gid_t saved), (real_group, group, saved))

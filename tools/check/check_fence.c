/* Theory of operation: whether the kernel takes the filter depends on its version, on the sandbox or container around
 * this process, and on its rights. The child tries it in the same way as socksify before it starts a command. */
#include "check_fence.h"
#include "fence.h"
#include "fencing.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Installs a fence in a child. Returns 0, S5_FENCE_THERE or -errno. */
static int try_fence(bool listens)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        struct s5_filter_options how = {.listens = listens};
        int listener, result = s5_fence_install(&how, false, &listener);
        _exit(result == S5_FENCE_THERE ? 255 : -result & 127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (pid < 0 || !WIFEXITED(status))
        return -EAGAIN;
    return WEXITSTATUS(status) == 255 ? S5_FENCE_THERE : -WEXITSTATUS(status);
}

static void report_companion(struct report *report, int result)
{
    if (fencing_adopts_orphans())
        report_row(report, "companion", FINDING_NO, "refused calls are not logged; see FENCE in socksify(1)",
                   "this process is process 1, or adopts orphans: no companion is started");
    else if (result == -EBUSY)
        report_row(report, "companion", FINDING_NO, "refused calls are not logged; see FENCE in socksify(1)",
                   "another program supervises the system calls of this process");
    else if (result < 0)
        report_row(report, "companion", FINDING_NO, "refused calls are not logged; see FENCE in socksify(1)",
                   "not possible: %s", strerror(-result));
    else
        report_row(report, "companion", FINDING_OK, NULL, "logs refused calls, and looks up names that are direct");
}

void check_fence(struct report *report)
{
    int watched = try_fence(true), silent = watched < 0 ? try_fence(false) : watched;
    report_group(report, "fence", "of this machine");
    if (silent == S5_FENCE_THERE) {
        report_row(report, "fence", FINDING_OK, NULL, "this process is within a fence already");
        return;
    }
    if (silent < 0) {
        report_row(report, "fence", FINDING_NO,
                   "programs run without it; --require-fence refuses that; a container may forbid seccomp()",
                   "calls that bypass the preload object are not refused: %s", strerror(-silent));
        return;
    }
    report_row(report, "fence", FINDING_OK, NULL, "the kernel refuses calls that bypass the preload object");
    report_companion(report, watched);
}

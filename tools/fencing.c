/* Theory of operation: the filter is installed last, because it applies to socksify as well. The companion is started
 * before and is outside of the fence. Where the kernel does not give it a listener (another program supervises this
 * process, or an old kernel), the filter refuses calls by itself.
 *
 * Process 1 of a container becomes the parent of every process that loses its own. The companion would be a child of
 * the command there, and a command that waits until it has no children would never end. The same holds for a process
 * that asked to be such a parent (PR_SET_CHILD_SUBREAPER). */
#include "fencing.h"
#include "companion.h"
#include "errors.h"
#include "fence.h"
#include "fence_rules.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

bool fencing_adopts_orphans(void)
{
    int is_reaper = 0;
    return getpid() == 1 || prctl(PR_GET_CHILD_SUBREAPER, &is_reaper) != 0 || is_reaper;
}

void fencing_prepare(struct fencing *ret, const struct options *options, const struct s5_policy *policy,
                     struct s5_shm *shm, int shm_fd, const struct fencing_programs *programs)
{
    *ret = (struct fencing){options, policy, -1, programs == NULL};
    if (ret->unwanted || options->no_fence || options->no_companion || fencing_adopts_orphans() ||
        s5_fence() != S5_FENCE_NONE)
        return;
    ret->companion = companion_start(policy, shm, shm_fd, programs->bridge, programs->gateway);
}

/* Installs the filter whose refused calls the companion receives. Returns as s5_fence_install(). */
static int install_watched(struct fencing *f, struct s5_filter_options *how)
{
    int listener = -1;
    how->listens = true;
    int result = s5_fence_install(how, false, &listener);
    if (result == 0)
        companion_give(f->companion, listener);
    close(f->companion); /* without a listener the companion ends */
    f->companion = -1;
    return result;
}

static int report_missing(const struct fencing *f, int error)
{
    const char *why = error == -ENOSYS || error == -EINVAL ? "this kernel or machine has no suitable seccomp filters"
                                                           : strerror(-error);
    if (f->options->require_fence)
        return errors_fail(EXIT_OWN_ERROR, "no fence: %s", why);
    errors_fail(0, "no fence: %s: calls that bypass the preload object are not refused (see --no-fence)", why);
    return 0;
}

int fencing_install(struct fencing *f)
{
    struct s5_filter_options how = {.listens = false};
    if (f->unwanted || f->options->no_fence)
        return 0;
    s5_fence_rules_apply(&how, f->policy);
    int result = -EBUSY;
    if (f->companion >= 0)
        result = install_watched(f, &how);
    if (result == -EBUSY || result == -EINVAL) {
        how.listens = false;
        result = s5_fence_install(&how, false, NULL);
    }
    return result < 0 ? report_missing(f, result) : 0;
}

void fencing_cancel(struct fencing *f)
{
    if (f->companion >= 0)
        close(f->companion);
    f->companion = -1;
}

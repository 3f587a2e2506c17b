/* The engine at the start of a process and around forks. A fork takes references for the child before it, because a
 * negotiation may end before the child runs. The references are counted under a process number that is reserved for the
 * child. The child confirms those that it needs; the others are released, by the child or, where the fork failed, by
 * the parent. */
#include "forking.h"
#include "cleanup.h"
#include "engine.h"
#include "fd_ops.h"
#include "follow.h"
#include "identity.h"
#include "in_engine.h"
#include "kind.h"
#include "leave.h"
#include "log_events.h"
#include "process.h"
#include "registry.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- set-up --- */

/* Imports what came through an exec. After that, the number that this process had before the exec counts as ended. */
static void import_after_exec(struct s5_engine *e)
{
    s5_fd_import_all(e);
    s5_process_end_before(atomic_load(&e->shm_fd), atomic_load(&e->process_number));
}

static const struct s5_engine_events events = {s5_leave_if_foreign, s5_log_events_begin, import_after_exec, s5_follow};

void s5_engine_init(struct s5_engine *e, const struct s5_calls *real, const char *state)
{
    struct stat st;
    int saved = errno;
    e->real = real;
    e->events = &events;
    atomic_store(&e->pid, (uint32_t)syscall(SYS_getpid));
    e->log = (struct s5_log){
        .level = S5_LOG_ERROR, .write = s5_log_events_write, .user = e, .pid = (int32_t)atomic_load(&e->pid)};
    if (fstat(2, &st) == 0) {
        e->stderr_dev = st.st_dev;
        e->stderr_ino = st.st_ino;
    }
    atomic_store(&e->shm_fd, -1);
    memcpy(e->state, S5_SHM_VARIABLE "=", sizeof S5_SHM_VARIABLE + 1);
    if (state && strlen(state) < S5_SHM_VALUE_MAX)
        memcpy(e->state + sizeof S5_SHM_VARIABLE, state, strlen(state) + 1);
    else
        e->state[0] = 0; /* no location that children could receive */
    if (s5_engine_attach(e) > 0)
        import_after_exec(e);
    else
        s5_process_end_before(atomic_load(&e->shm_fd), atomic_load(&e->process_number));
    errno = saved;
}

/* --- fork --- */

/* The references that this thread has taken for the child of its fork, and the number that the child will have. */
static __thread struct {
    uint32_t number; /* 0: none were taken */
    uint32_t references;
} for_child __attribute__((tls_model("initial-exec")));

void s5_engine_fork_prepare(struct s5_engine *e)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    for_child.number = 0;
    if (!shm || !s5_registry_waits(&e->registry))
        return;
    uint32_t number = s5_process_number(&shm->processes);
    for_child.references = 0;
    S5_EACH_KIND(kind, fork)
    for_child.references += kind->fork(e, number);
    for_child.number = number;
}

static void cancel_child_references(struct s5_engine *e, uint32_t number)
{
    S5_EACH_KIND(kind, no_child)
    kind->no_child(e, number);
}

void s5_engine_fork_parent(struct s5_engine *e, bool failed)
{
    uint32_t number = for_child.number;
    for_child.number = 0;
    if (failed && number && for_child.references)
        cancel_child_references(e, number);
}

void s5_engine_fork_child(struct s5_engine *e)
{
    uint32_t pid = (uint32_t)syscall(SYS_getpid), number = for_child.number, confirmed = 0;
    atomic_store(&e->pid, pid);
    e->log.pid = (int32_t)pid;
    for_child.number = 0;
    s5_thread_fork_child();
    s5_engine_register(e, number);
    int loading = S5_ENGINE_LOADING; /* by a thread that the child does not have */
    if (!s5_in_engine) {
        atomic_compare_exchange_strong(&e->policy_state, &loading, S5_ENGINE_NO_POLICY);
        atomic_store(&e->following, 0);
    }
    S5_EACH_KIND(kind, fork_child)
    confirmed += kind->fork_child(e, number);
    if (number && confirmed != for_child.references)
        cancel_child_references(
            e, number); /* releases the references of what was closed between s5_engine_fork_prepare() and the fork */
    s5_cleanup_fork_child();
    s5_leave_fork_child(e);
    s5_identity_fork_child(e);
}

/* The engine in the life of a process: its beginning, what follows when the memory file is found, and forks. */
#include "forking.h"
#include "cleanup.h"
#include "engine.h"
#include "fd_ops.h"
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

/* --- the beginning --- */

/* What came through an exec: then the number that this process had before is nobody's. */
static void import_all(struct s5_engine *e)
{
    s5_fd_import_all(e);
    s5_process_end_before(atomic_load(&e->shm_fd), atomic_load(&e->process_number));
}

static const struct s5_engine_events events = {s5_leave_if_foreign, s5_log_events_begin, import_all};

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
        e->state[0] = 0; /* none that children could be told of */
    if (s5_engine_attach(e) > 0)
        import_all(e);
    else
        s5_process_end_before(atomic_load(&e->shm_fd), atomic_load(&e->process_number));
    errno = saved;
}

/* --- fork --- */

/* What this thread has taken for the child of its fork, under the number that the child will have. */
static __thread struct {
    uint32_t number; /* 0: nothing */
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

static void take_back(struct s5_engine *e, uint32_t number)
{
    S5_EACH_KIND(kind, no_child)
    kind->no_child(e, number);
}

void s5_engine_fork_parent(struct s5_engine *e, bool failed)
{
    uint32_t number = for_child.number;
    for_child.number = 0;
    if (failed && number && for_child.references)
        take_back(e, number);
}

void s5_engine_fork_child(struct s5_engine *e)
{
    uint32_t pid = (uint32_t)syscall(SYS_getpid), number = for_child.number, confirmed = 0;
    atomic_store(&e->pid, pid);
    e->log.pid = (int32_t)pid;
    for_child.number = 0;
    s5_thread_fork_child();
    s5_engine_register(e, number);
    int loading = S5_ENGINE_LOADING; /* by a thread the child does not have */
    if (!s5_in_engine)
        atomic_compare_exchange_strong(&e->policy_state, &loading, S5_ENGINE_NO_POLICY);
    S5_EACH_KIND(kind, fork_child)
    confirmed += kind->fork_child(e, number);
    if (number && confirmed != for_child.references)
        take_back(e, number); /* what was closed between that and the fork */
    s5_cleanup_fork_child();
    s5_leave_fork_child(e);
    s5_identity_fork_child(e);
}

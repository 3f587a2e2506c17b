/* Set-up, and what belongs to the process as a whole: the tree, the policy, log lines, fork.
 *
 * Nothing here runs before a call of ours needs it, but for s5_engine_init, which is a few loads
 * where an ancestor began the tree. The policy is read by one thread in a critical section, so that no handler of
 * the program runs "inside"; the others wait for it. That lasts as long as reading the files takes: servers'
 * names are resolved later. */
#include "associate.h"
#include "cleanup.h"
#include "engine.h"
#include "quiet.h"
#include "standing.h"
#include "clock.h"
#include "error.h"
#include "identity.h"
#include "leave.h"
#include "listener.h"
#include "ledger.h"
#include "process.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

__thread int s5_engine_inside __attribute__((tls_model("initial-exec")));

static uint32_t real_pid(void)
{
    return (uint32_t)syscall(SYS_getpid);
}

bool s5_engine_owns_stderr(const struct s5_engine *e)
{
    struct stat st;
    return fstat(2, &st) == 0 && st.st_dev == e->stderr_dev && st.st_ino == e->stderr_ino;
}

/* --- start --- */

static void become(struct s5_engine *e, uint32_t number)
{
    atomic_store(&e->process_number, s5_process_register(atomic_load(&e->tree_fd), number));
}

void s5_engine_register(struct s5_engine *e)
{
    struct s5_tree *tree = atomic_load(&e->tree);
    if (tree)
        become(e, s5_process_number(&tree->processes));
}

/* What came through an exec: then the number that this process had before is nobody's. */
static void adopt_all(struct s5_engine *e, bool any)
{
    if (any)
        s5_life_adopt(e);
    s5_process_end_before(atomic_load(&e->tree_fd), atomic_load(&e->process_number));
}

bool s5_engine_has_ended(const struct s5_engine *e, uint32_t process)
{
    return s5_process_has_ended(atomic_load(&e->tree_fd), atomic_load(&e->process_number), process);
}

void s5_engine_set_place(struct s5_engine *e, const struct s5_tree_place *place)
{
    e->place = *place;
    if (place->fd >= 0)
        s5_tree_value(place, e->state + sizeof S5_TREE_VARIABLE);
    e->state[0] = place->fd >= 0 ? S5_TREE_VARIABLE[0] : 0;
    atomic_store(&e->tree_fd, place->fd);
}

/* In a critical section: the tree that e->state names, or a new one; its descriptor is none of the program's.
 * Where memory is short there is none for now: what needs the policy fails until a later attempt has it, and
 * e->state stays what it is. -errno, or whether there is something to be adopted. */
static int have_tree(struct s5_engine *e)
{
    const char *given = e->state + sizeof S5_TREE_VARIABLE;
    struct s5_tree *tree = NULL;
    struct s5_tree_place place = {.fd = -1};
    s5_engine_inside++;
    int r = *given ? s5_tree_attach(given, &tree, &place) : -ENOENT;
    if (r < 0 && r != -ENOMEM) {
        uint32_t lost = place.lost;
        r = s5_tree_create(&tree, &place);
        if (r == 0 && *given)
            s5_tree_replace(tree, &place, lost);
    }
    s5_engine_inside--;
    if (r < 0)
        return r;
    bool adopt = place.adopt;
    place.adopt = false;
    s5_engine_set_place(e, &place);
    atomic_store(&e->tree, tree);
    s5_engine_register(e);
    s5_leave_if_foreign(e);
    return adopt;
}

void s5_engine_init(struct s5_engine *e, const struct s5_calls *real, const char *state)
{
    struct stat st;
    int saved = errno;
    e->real = real;
    atomic_store(&e->pid, real_pid());
    e->log = (struct s5_log){.level = S5_LOG_ERROR,
                              .write = s5_ledger_write,
                              .user = e,
                              .pid = (int32_t)real_pid()};
    if (fstat(2, &st) == 0) {
        e->stderr_dev = st.st_dev;
        e->stderr_ino = st.st_ino;
    }
    atomic_store(&e->tree_fd, -1);
    memcpy(e->state, S5_TREE_VARIABLE "=", sizeof S5_TREE_VARIABLE + 1);
    if (state && strlen(state) < S5_TREE_VALUE_MAX)
        memcpy(e->state + sizeof S5_TREE_VARIABLE, state, strlen(state) + 1);
    else
        e->state[0] = 0; /* none that children could be told of */
    adopt_all(e, have_tree(e) > 0);
    errno = saved;
}

bool s5_engine_owns_memory(struct s5_engine *e)
{
    return atomic_load(&e->pid) == real_pid();
}

/* --- the policy --- */

static int load(struct s5_engine *e)
{
    struct s5_tree *tree = atomic_load(&e->tree);
    int fd = atomic_load(&e->tree_fd);
    uint64_t fingerprint = s5_source_fingerprint(&e->environment);
    struct s5_policy_file *shared = s5_tree_policy(tree, fd, &fingerprint), *own = NULL;
    if (!shared) {
        struct s5_source source = {NULL, NULL, e->environment};
        own = s5_policy_file_private();
        int r = own ? s5_source_load(&own->policy, &source, &e->fault) : -ENOMEM;
        if (r < 0) {
            if (own)
                s5_policy_file_unmap(own);
            return r;
        }
        s5_tree_publish(tree, fd, &own->policy, fingerprint, "");
        shared = s5_tree_policy(tree, fd, &fingerprint);
    }
    if (shared && own) {
        explicit_bzero(own->policy.servers, sizeof own->policy.servers);
        s5_policy_file_unmap(own);
    }
    e->policy_is_shared = shared != NULL;
    e->policy_file = shared ? shared : own;
    e->policy = &e->policy_file->policy;
    return 0;
}

/* What is looked at often. */
static void take_over(struct s5_engine *e, const struct s5_policy *p)
{
    s5_ledger_begin(e, p);
    for (uint32_t i = 0; i < p->n_servers; i++)
        e->standings[i] = s5_standing_key(p, &p->servers[i]);
}

static void load_alone(struct s5_engine *e)
{
    struct s5_quiet quiet;
    s5_quiet_begin(&quiet);
    e->fault.text[0] = 0;
    int adopt = atomic_load(&e->tree) ? 0 : have_tree(e), r = adopt < 0 ? adopt : load(e);
    /* What is short now may be there for the next call. */
    bool again = r == -ENOMEM || r == -EMFILE || r == -ENFILE;
    if (r < 0 && !e->fault.text[0])
        s5_format(e->fault.text, sizeof e->fault.text, "configuration: %s", s5_error_text(r));
    if (r == 0)
        take_over(e, e->policy);
    atomic_store(&e->refusal, again ? r : -EACCES);
    atomic_store(&e->policy_state, r == 0  ? S5_ENGINE_LOADED
                                   : again ? S5_ENGINE_NO_POLICY
                                           : S5_ENGINE_BROKEN);
    if (adopt > 0)
        adopt_all(e, true);
    s5_quiet_end(&quiet);
}

const struct s5_policy *s5_engine_load(struct s5_engine *e)
{
    int state = atomic_load_explicit(&e->policy_state, memory_order_acquire);
    if (state == S5_ENGINE_LOADED)
        return e->policy;
    int saved = errno;
    if (state == S5_ENGINE_NO_POLICY &&
        atomic_compare_exchange_strong(&e->policy_state, &state, S5_ENGINE_LOADING))
        load_alone(e);
    while ((state = atomic_load(&e->policy_state)) == S5_ENGINE_LOADING) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    errno = saved;
    return state == S5_ENGINE_LOADED ? e->policy : NULL;
}

const struct s5_policy *s5_engine_load_or_say(struct s5_engine *e)
{
    const struct s5_policy *p = s5_engine_load(e);
    if (!p)
        s5_log(&e->log, S5_LOG_ERROR, "refused: %s", e->fault.text);
    return p;
}

/* --- fork --- */

/* What this thread has taken for the child of its fork, under the number that the child will have. */
static __thread struct {
    uint32_t number;     /* 0: nothing */
    uint32_t references;
} for_child __attribute__((tls_model("initial-exec")));

/* The child's records name the same flights, and need references of their own: taken here, since a
 * flight may be over before the child runs. */
void s5_engine_fork_prepare(struct s5_engine *e)
{
    struct s5_tree *tree = atomic_load(&e->tree);
    for_child.number = 0;
    if (!tree || !s5_registry_waits(&e->registry))
        return;
    uint32_t number = s5_process_number(&tree->processes);
    for_child.references = s5_listener_fork(e, number);
    for (uint32_t at = 0; at < s5_registry_flying_top(&e->registry); at++) {
        struct s5_record *record = s5_registry_flying_at(&e->registry, at);
        struct s5_flight *f = record ? atomic_load(&record->flight) : NULL;
        if (f)
            for_child.references += s5_references_reserve(&f->references, record->flight_generation, number);
    }
    for_child.number = number;
}

static void take_back(struct s5_engine *e, uint32_t number)
{
    s5_flight_no_child(e, number);
    s5_listener_no_child(e, number);
}

void s5_engine_fork_parent(struct s5_engine *e, bool failed)
{
    uint32_t number = for_child.number;
    for_child.number = 0;
    if (failed && number && for_child.references)
        take_back(e, number);
}

static void lose(struct s5_engine *e, struct s5_record *record)
{
    record->error = -ECONNABORTED;
    s5_registry_attend(&e->registry, 1); /* as s5_connect_settle has it */
    atomic_store(&record->state, S5_RECORD_FAILED);
}

/* What another thread of the parent's began between that and the fork: the child has its record, and takes a
 * reference while there is something to refer to. Its descriptors are of an earlier moment than its memory. */
static bool takes(struct s5_engine *e, const struct s5_record *record, struct s5_flight *f)
{
    if (!s5_connect_same(e, record, atomic_load(&record->fd)) || !s5_flight_pin(e, f, record->flight_generation))
        return false;
    if (f->cookie == record->cookie)
        return true;
    s5_flight_release(e, f); /* it is another connection's by now */
    return false;
}

/* RECORD, which was in flight: whether the reference taken for the child NUMBER is its own. Without a flight it was
 * in the hands of a thread that was settling it; without a name it was being made, or closed. */
static bool inherit_record(struct s5_engine *e, struct s5_record *record, uint32_t number)
{
    struct s5_flight *f = atomic_load(&record->flight);
    uint32_t self = atomic_load(&e->process_number);
    bool confirmed = f && number && s5_references_confirm(&f->references, record->flight_generation, number, self);
    if (!confirmed && !(f && takes(e, record, f))) {
        atomic_store(&record->flight, NULL);
        if (atomic_load(&record->state) == S5_RECORD_FLYING)
            lose(e, record);
        s5_registry_land(&e->registry, record);
    }
    if (!s5_record_refs(record)) {
        s5_registry_publish(record);
        s5_connect_let_go(e, record);
    }
    return confirmed;
}

static uint32_t inherit_all(struct s5_engine *e, uint32_t number)
{
    uint32_t confirmed = s5_listener_fork_child(e, number);
    s5_registry_recount(&e->registry);
    uint32_t top = s5_registry_flying_top(&e->registry); /* one that lands may make it less */
    for (uint32_t at = 0; at < top; at++) {
        struct s5_record *record = s5_registry_flying_at(&e->registry, at);
        if (record)
            confirmed += inherit_record(e, record, number);
    }
    return confirmed;
}

void s5_engine_fork_child(struct s5_engine *e)
{
    struct s5_tree *tree = atomic_load(&e->tree);
    uint32_t pid = real_pid(), number = for_child.number;
    atomic_store(&e->pid, pid);
    e->log.pid = (int32_t)pid;
    for_child.number = 0;
    s5_thread_fork_child();
    if (tree)
        become(e, number ? number : s5_process_number(&tree->processes));
    s5_associate_fork_child(e);
    int loading = S5_ENGINE_LOADING; /* by a thread the child does not have */
    if (!s5_engine_inside)
        atomic_compare_exchange_strong(&e->policy_state, &loading, S5_ENGINE_NO_POLICY);
    if (tree && inherit_all(e, number) != for_child.references && number)
        take_back(e, number); /* what was closed between that and the fork */
    s5_cleanup_fork_child();
    s5_leave_fork_child(e);
    s5_identity_fork_child(e);
}

/* Set-up, and what belongs to the process as a whole: the tree, the policy, log lines, fork.
 *
 * Nothing here runs before a call of ours needs it, but for s5_engine_init, which is a few loads
 * where an ancestor began the tree. The policy is read by one thread with every signal blocked, so
 * that no handler of the program runs "inside"; the others wait for it. */
#include "engine.h"
#include "quiet.h"
#include "standing.h"
#include "clock.h"
#include "error.h"
#include "identity.h"
#include "listener.h"
#include "ledger.h"
#include "nameserver.h"
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

void s5_engine_register(struct s5_engine *e)
{
    struct s5_tree *tree = atomic_load(&e->tree);
    if (tree)
        atomic_store(&e->process_number, s5_process_register(atomic_load(&e->tree_fd), &tree->processes));
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

/* The tree that e->state names, or a new one. Where memory is short there is none for now: what needs
 * the policy fails until a later attempt has it, and e->state stays what it is. -errno, or whether
 * there is something to be adopted. */
static int have_tree(struct s5_engine *e)
{
    const char *given = e->state + sizeof S5_TREE_VARIABLE;
    struct s5_tree *tree = NULL;
    struct s5_tree_place place = {.fd = -1};
    s5_engine_inside++; /* its descriptor is none of the program's */
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
    if (have_tree(e) > 0)
        s5_life_adopt(e);
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
    uint64_t fingerprint = s5_source_fingerprint(&e->environment);
    const struct s5_policy *shared = s5_tree_policy(tree, fingerprint);
    if (shared) {
        e->policy = shared;
        return 0;
    }
    struct s5_policy *own = mmap(NULL, sizeof *own, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (own == MAP_FAILED)
        return -ENOMEM;
    madvise(own, sizeof *own, MADV_DONTDUMP);
    struct s5_source source = {NULL, NULL, e->environment};
    int r = s5_source_load(own, &source, &e->fault);
    if (r < 0) {
        munmap(own, sizeof *own);
        return r;
    }
    s5_tree_publish(tree, own, fingerprint);
    shared = s5_tree_policy(tree, fingerprint);
    e->policy = shared ? shared : own;
    if (shared) {
        explicit_bzero(own->servers, sizeof own->servers);
        munmap(own, sizeof *own);
    }
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
        s5_life_adopt(e);
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

/* Which fork of this process this thread is at. */
static __thread uint32_t fork_number __attribute__((tls_model("initial-exec")));

/* The child's records name the same flights, and need references of their own: taken here, since a
 * flight may be over before the child runs. */
void s5_engine_fork_prepare(struct s5_engine *e)
{
    static _Atomic uint32_t forks;
    fork_number = atomic_fetch_add(&forks, 1) + 1;
    s5_listener_fork(e, fork_number);
    if (!s5_registry_flying(&e->registry))
        return;
    for (uint32_t at = 0; at < s5_registry_flying_top(&e->registry); at++) {
        struct s5_record *record = s5_registry_flying_at(&e->registry, at);
        struct s5_flight *f = record ? atomic_load(&record->flight) : NULL;
        if (f && s5_flight_pin(f, record->flight_generation))
            atomic_store_explicit(&record->forked, fork_number, memory_order_relaxed);
    }
}

static void lose(struct s5_engine *e, struct s5_record *record)
{
    record->error = -ECONNABORTED;
    s5_registry_attend(&e->registry, 1); /* as s5_connect_settle has it */
    atomic_store(&record->state, S5_RECORD_FAILED);
}

/* RECORD was held by a thread of the parent's that was settling it, and that the child does not have. */
static void bereave(struct s5_engine *e, struct s5_record *record)
{
    if (atomic_load(&record->state) == S5_RECORD_FLYING)
        lose(e, record);
    s5_registry_land(&e->registry, record);
    if (s5_record_refs(record) > 1)
        s5_record_let_go(record);
}

/* What other threads of the parent began between that and the fork: the child has their records, and
 * takes references while there is something to refer to. */
static void refer(struct s5_engine *e)
{
    for (uint32_t at = 0; at < s5_registry_flying_top(&e->registry); at++) {
        struct s5_record *record = s5_registry_flying_at(&e->registry, at);
        struct s5_flight *f = record ? atomic_load(&record->flight) : NULL;
        if (record && !f)
            bereave(e, record);
        if (!f || atomic_load(&record->forked) == fork_number ||
            atomic_load(&record->state) != S5_RECORD_FLYING)
            continue;
        /* The child's descriptors are of an earlier moment than its memory. */
        bool same = s5_connect_same(e, record, atomic_load(&record->fd));
        if (same && s5_flight_pin(f, record->flight_generation)) {
            if (f->cookie == record->cookie)
                continue;
            s5_flight_release(e, f); /* it is another connection's by now */
        }
        atomic_store(&record->flight, NULL);
        lose(e, record);
        s5_registry_land(&e->registry, record);
    }
}

void s5_engine_fork_child(struct s5_engine *e)
{
    uint32_t pid = real_pid();
    atomic_store(&e->pid, pid);
    e->log.pid = (int32_t)pid;
    s5_engine_register(e);
    int loading = S5_ENGINE_LOADING; /* by a thread the child does not have */
    if (!s5_engine_inside)
        atomic_compare_exchange_strong(&e->policy_state, &loading, S5_ENGINE_NO_POLICY);
    refer(e);
    s5_listener_fork_child(e, fork_number);
    s5_identity_fork_child(e);
    s5_nameserver_fork_child(e);
}

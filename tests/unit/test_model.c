/* The registry and its negotiations, in every order in which two or three threads of a process can connect, wait,
 * duplicate, close and fork. Each atomic operation of the sources below is a point where another thread may
 * continue (model.h). The kernel is a table of sockets by descriptor. A child is a copy of its parent, made
 * between two points. It runs to its end before its parent continues, but other threads may continue in between. */
#include "clock.h"
#include "engine.h"
#include "log_events.h"
#include "listener.h"
#include "dns_answer.h"
#include "model.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

static enum s5_step model_step(struct s5_engine *e, struct s5_negotiation *f, const struct s5_record *record,
                               int fd, short events);
#define s5_negotiation_step model_step
#include "../../libsocks5client/shm/references.c"
#undef MOST
#include "../../libsocks5client/registry/registry.c"
#include "../../libsocks5client/negotiate/pool.c"
#include "../../libsocks5client/inflight/complete.c"
#include "../../libsocks5client/fd/fd_ops.c"
#include "../../libsocks5client/calls/connect.c"
#include "../../libsocks5client/engine/engine.c"
#include "../../libsocks5client/process/forking.c"
#include "../../libsocks5client/tcp/stream.c"

enum { DESCRIPTORS = 8, FIRST = 3, OPS = 8, ALL = 8, CHILDREN = 2 };

static struct s5_policy policy;

/* --- the kernel --- */

static struct process {
    struct s5_engine engine;
    struct s5_record *records;
    uint64_t sockets[DESCRIPTORS]; /* by descriptor: the cookie; 0: closed */
} processes[1 + CHILDREN];
static unsigned children;
static struct process *where[MODEL_THREADS]; /* the process of each thread */

#define HERE    (where[model.now])
#define ENGINE  (HERE->engine)
#define SOCKETS (HERE->sockets)

static int kernel_close(int fd)
{
    model_point(NULL);
    bool open = SOCKETS[fd];
    SOCKETS[fd] = 0;
    return open ? 0 : (errno = EBADF, -1);
}

static int kernel_dup(int fd)
{
    model_point(NULL);
    for (int to = FIRST; SOCKETS[fd] && to < DESCRIPTORS; to++)
        if (!SOCKETS[to]) {
            SOCKETS[to] = SOCKETS[fd];
            return to;
        }
    return errno = EBADF, -1;
}

static int kernel_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    model_point(NULL);
    if (level != SOL_SOCKET || name != SO_COOKIE || !SOCKETS[fd])
        return errno = EBADF, -1;
    memcpy(value, &SOCKETS[fd], *len = sizeof SOCKETS[fd]);
    return 0;
}

static int kernel_shutdown(int fd, int how)
{
    (void)fd, (void)how;
    return 0;
}

static const struct s5_calls kernel = {
    .close = kernel_close, .dup = kernel_dup, .getsockopt = kernel_getsockopt, .shutdown = kernel_shutdown};

/* --- what threads do --- */

/* connect() of a non-blocking socket, without the part that concerns the server. */
static void model_connect(int fd)
{
    struct s5_negotiation *f = s5_negotiation_take_two(&ENGINE);
    struct s5_record *record;
    cr_assert_not_null(f);
    f->cookie = SOCKETS[fd];
    f->peer.len = sizeof f->peer.v4;
    f->server_index = 0;
    f->deadline = S5_CLOCK_NEVER;
    if (s5_tcp_new_record(&ENGINE, fd, fd, f, &record) == 0)
        atomic_store(&f->phase, S5_NEGOTIATION_DIALING);
    s5_negotiation_release(&ENGINE, f);
}

/* A step that receives the server's reply. */
static enum s5_step model_step(struct s5_engine *e, struct s5_negotiation *f, const struct s5_record *record,
                               int fd, short events)
{
    (void)events;
    if (atomic_load(&f->phase) >= S5_NEGOTIATION_READY)
        return S5_STEP_DONE;
    if (!s5_negotiation_try_lock(e, f))
        return S5_STEP_BUSY;
    fd = atomic_load(&record->fd);
    if (atomic_load(&record->negotiation) != f || fd < 0)
        fd = -1;
    model_point(NULL);
    if (fd >= 0 && atomic_load(&f->phase) == S5_NEGOTIATION_DIALING) {
        cr_assert(!SOCKETS[fd] || SOCKETS[fd] == f->cookie, "a step on another socket");
        atomic_store(&f->phase, S5_NEGOTIATION_READY);
    }
    s5_negotiation_unlock(f);
    return fd < 0 ? S5_STEP_GONE : S5_STEP_DONE;
}

static void model_finish(int fd)
{
    struct s5_record *record = s5_complete_find(&ENGINE, fd);
    if (record)
        s5_complete_step(&ENGINE, record, 0);
}

/* The steps that other threads make while they wait for something else. */
static void drive_all(void)
{
    uint32_t top = s5_registry_inflight_top(&ENGINE.registry);
    for (uint32_t at = 0; at < top; at++) {
        struct s5_record *record = s5_registry_inflight_at(&ENGINE.registry, at);
        if (record)
            s5_complete_step(&ENGINE, record, 0);
    }
}

static void close_all(void)
{
    for (int fd = FIRST; fd < DESCRIPTORS; fd++)
        s5_fd_forget(&ENGINE, fd);
}

/* A child completes what is in flight on FD and exits; or the fork fails. */
static void fork_once(int fd, bool fails)
{
    struct process *parent = HERE;
    s5_engine_fork_prepare(&ENGINE);
    if (!fails) {
        struct process *child = &processes[++children];
        struct s5_record *records = child->records;
        *child = *parent;
        child->records = records;
        memcpy(records, parent->engine.registry.records, ALL * sizeof *records);
        child->engine.registry.records = records;
        uint32_t number = for_child.number, references = for_child.references;
        HERE = child;
        s5_engine_fork_child(&ENGINE);
        model_finish(fd);
        close_all();
        HERE = parent;
        for_child.number = number;
        for_child.references = references;
    }
    s5_engine_fork_parent(&ENGINE, fails);
}

enum verb { NOTHING, BEGIN, FINISH, DRIVE, CLOSE, DUP, FORK, FORK_FAILS };
struct op {
    enum verb verb;
    int fd;
};
struct script {
    const char *name;
    unsigned threads, switches;
    unsigned long least; /* schedules */
    struct op before[OPS], ops[MODEL_THREADS][OPS];
};
static const struct script *script;

static void model_do_op(const struct op *op)
{
    switch (op->verb) {
    case BEGIN: model_connect(op->fd); break;
    case FINISH: model_finish(op->fd); break;
    case DRIVE: drive_all(); break;
    case CLOSE: s5_close(&ENGINE, op->fd); break;
    case DUP: s5_dup(&ENGINE, op->fd); break;
    case FORK: fork_once(op->fd, false); break;
    case FORK_FAILS: fork_once(op->fd, true); break;
    case NOTHING: break;
    }
}

static void model_run_script(unsigned number)
{
    for (const struct op *op = script->ops[number]; op->verb; op++)
        model_do_op(op);
}

/* --- what must hold --- */

static uint32_t refs_of(const struct s5_record *record)
{
    return (uint32_t)record->use;
}

static void check_process(const struct s5_registry *r)
{
    const struct s5_record *records = r->records;
    unsigned seen = 0;
    for (int fd = FIRST; fd < DESCRIPTORS; fd++) {
        uint32_t number = r->near.slots[fd].record & ~S5_SLOT_NEEDS_CHECK;
        cr_assert(!number || refs_of(&records[number - 1]), "%s: descriptor %d names what is free", script->name, fd);
    }
    for (unsigned at = 0; at < ALL; at++) {
        uint32_t number = r->inflight[at];
        cr_assert(!number || !(seen & 1u << number), "%s: one has two places", script->name);
        cr_assert(!number || records[number - 1].state != S5_RECORD_FREE, "%s: what is free is in flight",
                  script->name);
        seen |= number ? 1u << number : 0;
    }
    for (unsigned i = 0; i < r->records_used; i++) {
        const struct s5_negotiation *f = records[i].negotiation;
        if (refs_of(&records[i]) && records[i].state == S5_RECORD_IN_FLIGHT && f)
            cr_assert((uint32_t)f->references.use && f->phase != S5_NEGOTIATION_FREE, "%s: a negotiation is gone",
                      script->name);
    }
}

static void check(void)
{
    check_process(&processes[0].engine.registry);
}

/* The thread-local variables of each thread. */
static struct {
    __typeof__(for_child) for_child;
    struct s5_cleanups cleanups;
} locals[MODEL_THREADS];

static void model_save_locals(unsigned number)
{
    locals[number].for_child = for_child;
    locals[number].cleanups = s5_cleanups;
}

static void model_restore_locals(unsigned number)
{
    for_child = locals[number].for_child;
    s5_cleanups = locals[number].cleanups;
}

static void before(void)
{
    s5_cleanups = (struct s5_cleanups){.n = 0};
    for (unsigned i = 0; i < MODEL_THREADS; i++) {
        where[i] = &processes[0];
        locals[i].cleanups = s5_cleanups;
    }
    children = 0;
    struct s5_registry *r = &ENGINE.registry;
    struct s5_shm *shm = ENGINE.shm;
    memset(r->near.slots, 0, sizeof(struct s5_slot) * DESCRIPTORS);
    memset(r->inflight, 0, sizeof *r->inflight * ALL);
    if (r->records)
        memset(r->records, 0, sizeof(struct s5_record) * ALL);
    memset(shm->negotiations, 0, offsetof(struct s5_negotiation, session) * ALL);
    memset(r->dups, 0, sizeof r->dups);
    r->records_free = r->inflight_list = shm->negotiations_free = 0;
    r->records_used = r->inflight_count = r->dups_at = shm->negotiations_used = 0;
    memset(SOCKETS, 0, sizeof processes[0].sockets);
    shm->processes = 1;
    ENGINE.process_number = 1 | S5_PROCESS_UNPROVEN;
    SOCKETS[3] = 303, SOCKETS[4] = 404;
    for (const struct op *op = script->before; op->verb; op++)
        model_do_op(op);
}

/* CHILD: it does not have what another thread of its parent held. */
static void check_released(const struct s5_registry *r, bool child)
{
    uint32_t free_records = 0;
    if (!child)
        check_process(r);
    cr_assert_eq(r->inflight_count, 0, "%s: %u are in flight", script->name, r->inflight_count);
    cr_assert_eq(r->inflight_list, 0);
    for (unsigned at = 0; at < ALL; at++)
        cr_assert_eq(r->inflight[at], 0);
    for (uint32_t i = (uint32_t)r->records_free; i && free_records < ALL; free_records++) {
        cr_assert_eq(refs_of(&r->records[i - 1]), 0);
        i = r->records[i - 1].next_free;
    }
    cr_assert(free_records == r->records_used || (child && free_records < r->records_used),
              "%s: a record is lost, or free twice", script->name);
}

static void after(void)
{
    const struct s5_shm *shm = processes[0].engine.shm;
    uint32_t free_negotiations = 0;
    for (unsigned i = 0; i < MODEL_THREADS; i++)
        where[i] = &processes[0];
    check();
    close_all();
    for (unsigned i = 0; i <= children; i++)
        check_released(&processes[i].engine.registry, i > 0);
    for (uint32_t i = (uint32_t)shm->negotiations_free; i && free_negotiations < ALL; free_negotiations++) {
        cr_assert_eq((uint32_t)shm->negotiations[i - 1].references.use, 0);
        i = shm->negotiations[i - 1].next_free;
    }
    cr_assert_eq(free_negotiations, shm->negotiations_used, "%s: a negotiation is lost, or free twice", script->name);
}

static bool model_is_within(const volatile void *at, const volatile void *begin, const volatile void *end)
{
    return (const volatile char *)at >= (const volatile char *)begin &&
           (const volatile char *)at < (const volatile char *)end;
}

/* Slots, chunks and entries that remain empty. */
static bool model_is_dull(const volatile void *at)
{
    for (unsigned i = 0; i <= CHILDREN; i++) {
        const struct s5_registry *r = &processes[i].engine.registry;
        if (model_is_within(at, &r->near.slots[DESCRIPTORS], &r->records) ||
            model_is_within(at, &r->inflight[ALL], &r->inflight[S5_INFLIGHT_MAX]))
            return true;
    }
    return false;
}

static void model_explore_script(const struct script *s)
{
    struct s5_shm *shm;
    struct s5_shm_location place;
    script = s;
    where[0] = where[1] = where[2] = &processes[0];
    model.leave = model_save_locals;
    model.enter = model_restore_locals;
    model.dull = model_is_dull;
    if (!ENGINE.shm) {
        cr_assert_eq(s5_shm_create(&shm, &place), 0);
        ENGINE.shm = shm;
        ENGINE.shm_fd = -1;
        ENGINE.real = &kernel;
        ENGINE.policy = &policy;
        ENGINE.pid = (uint32_t)getpid();
        memset(shm->negotiations, 0, sizeof *shm->negotiations * ALL);
        s5_registry_new(&ENGINE.registry); /* maps the records */
        for (unsigned i = 1; i <= CHILDREN; i++)
            cr_assert_not_null(processes[i].records = calloc(ALL, sizeof(struct s5_record)));
    }
    model_explore(s->name, s->threads, s->switches, before, model_run_script, check, after);
    cr_assert_geq(model.schedules, s->least, "%s: %lu schedules", s->name, model.schedules);
}

Test(model, a_close_beside_a_connect)
{
    static const struct script s = {"connect beside close", 3, 2, 1000, {{0}},
        {{{BEGIN, 3}}, {{CLOSE, 3}}, {{BEGIN, 4}, {FINISH, 4}}}};
    model_explore_script(&s);
}

Test(model, a_dup_beside_the_last_close)
{
    static const struct script s = {"dup beside close", 3, 2, 1000, {{BEGIN, 3}},
        {{{DUP, 3}}, {{CLOSE, 3}}, {{FINISH, 3}, {FINISH, 5}}}};
    model_explore_script(&s);
}

Test(model, several_complete_beside_a_close)
{
    static const struct script s = {"ends beside close", 3, 2, 1000, {{BEGIN, 3}},
        {{{FINISH, 3}}, {{DRIVE, 0}}, {{CLOSE, 3}}}};
    model_explore_script(&s);
}

Test(model, concurrent_forks)
{
    static const struct script s = {"two forks at once", 2, 2, 1000, {{BEGIN, 3}},
        {{{FORK, 3}, {CLOSE, 3}}, {{FORK, 3}}}};
    model_explore_script(&s);
}

Test(model, forks_that_fail)
{
    static const struct script s = {"a fork and one that fails", 3, 1, 500, {{BEGIN, 3}},
        {{{FORK, 3}}, {{FORK_FAILS, 3}}, {{FINISH, 3}, {CLOSE, 3}}}};
    model_explore_script(&s);
}

Test(model, a_fork_beside_a_connect)
{
    static const struct script s = {"fork beside connect", 2, 2, 1000, {{0}},
        {{{BEGIN, 3}, {FINISH, 3}}, {{FORK, 3}, {CLOSE, 3}}}};
    model_explore_script(&s);
}

Test(model, a_fork_beside_two_connects)
{
    static const struct script s = {"fork beside two connects", 3, 1, 500, {{0}},
        {{{BEGIN, 3}, {FINISH, 3}}, {{FORK, 3}}, {{BEGIN, 4}, {CLOSE, 4}}}};
    model_explore_script(&s);
}

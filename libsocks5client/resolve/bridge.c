/* Theory of operation:
 * - The bridge holds a lock on one octet of the shared memory while it lives. The kernel releases the lock
 *   however the bridge ends, so the lock shows whether a bridge is alive.
 * - One process starts the bridge, the others wait. Each step is a critical section, in which calls are the engine's
 *   own. No lock is held during a wait, so a signal handler may leave the wait by a jump, and another thread or
 *   process continues.
 * - The bridge is created by two nested clones, which share the memory of this process and run no code of the
 *   program: there is no fork handler, no SIGCHLD and no child that wait() of the program could find. */
#include "bridge.h"
#include "byte_lock.h"
#include "clock.h"
#include "close_descriptors.h"
#include "companion_request.h"
#include "in_engine.h"
#include "keyed.h"
#include "process.h"
#include "session.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOCK_AT          0                      /* the octet of the shared memory that the bridge locks */
#define START_TIMEOUT_NS (10 * S5_CLOCK_SECOND) /* for a bridge to come up */
#define STACK            65536
#define SEALING          256 /* most octets that protection adds to a datagram */
#define GRACE            5   /* seconds by which our timeout is longer than the bridge's own */

static bool has_gssapi(const struct s5_server *server)
{
    for (unsigned i = 0; i < server->n_methods; i++) /* each connect() passes here: shorter than a call of memchr() */
        if (server->methods[i] == S5_METHOD_GSSAPI)
            return true;
    return false;
}

bool s5_bridge_fronts(const struct s5_server *server)
{
    return server->bridged || server->is_path || has_gssapi(server);
}

/* --- state of the bridge --- */

static bool is_alive(int shm_fd)
{
    short type;
    return s5_byte_lock(shm_fd, F_GETLK, F_WRLCK, LOCK_AT, 1, &type) && type != F_UNLCK;
}

bool s5_bridge_claim(int shm_fd)
{
    short type;
    return s5_byte_lock(shm_fd, F_SETLK, F_WRLCK, LOCK_AT, 1, &type);
}

void s5_bridge_leave(struct s5_shm *shm)
{
    uint32_t up = S5_BRIDGE_UP;
    atomic_store(&shm->bridge.ready, 0);
    atomic_compare_exchange_strong(&shm->bridge.state, &up, S5_BRIDGE_NONE);
}

bool s5_bridge_is_wanted(const struct s5_shm *shm, int32_t *ret_starter)
{
    uint32_t state = atomic_load(&shm->bridge.state);
    if (state != S5_BRIDGE_STARTING)
        return false;
    *ret_starter = atomic_load(&shm->bridge.starter);
    return true;
}

bool s5_bridge_is_up(const struct s5_bridge_start *how)
{
    return atomic_load_explicit(&how->shm->bridge.state, memory_order_acquire) == S5_BRIDGE_UP && is_alive(how->shm_fd);
}

/* --- the policy --- */

/* Writes USER and ".INDEX", by which the bridge finds the server, to TO. Returns the length. */
static uint8_t write_user_name(char *to, const char *user, unsigned index)
{
    uint8_t n = S5_BRIDGE_WORD;
    memcpy(to, user, n);
    to[n++] = '.';
    if (index >= 10)
        to[n++] = (char)('0' + index / 10);
    to[n++] = (char)('0' + index % 10);
    return n;
}

/* Returns true if datagrams to SERVER, an entry as configured, are wrapped and so become longer. */
static bool is_sealed(const struct s5_server *server)
{
    return has_gssapi(server) && server->gssapi_protection > 0;
}

/* Changes the entry OWN so that it leads to the bridge. CONFIGURED is the entry as configured. OWN->bridged becomes
 * S5_SERVER_BRIDGED only when the entry is complete: the child of a fork in between starts again. */
static void redirect_entry(const struct s5_bridge_place *place, unsigned index, const struct s5_server *configured,
                           struct s5_server *own)
{
    __atomic_store_n(&own->bridged, S5_SERVER_REDIRECTING, __ATOMIC_RELEASE);
    own->is_path = false;
    own->port = place->port;
    own->datagram_most = is_sealed(configured) ? 65507 - SEALING : 0;
    own->n_methods = 1;
    own->methods[0] = S5_METHOD_USERPASS;
    own->pipeline = S5_PIPELINE_ON;
    own->timeout = (uint16_t)(configured->timeout + GRACE);
    own->username_len = write_user_name(own->username, place->user, index);
    own->password_len = S5_BRIDGE_WORD;
    memcpy(own->password, place->password, S5_BRIDGE_WORD);
    own->addrs[0] = (struct s5_ip){S5_ADDR_IPV4, {127, 0, 0, 1}};
    own->n_addrs = 1;
    __atomic_store_n(&own->bridged, S5_SERVER_BRIDGED, __ATOMIC_RELEASE);
}

static int get_policy_fd(const struct s5_engine *e)
{
    return atomic_load(&e->shm_fd) + 1;
}

int s5_bridge_redirect(struct s5_engine *e, const struct s5_server *server)
{
    unsigned index = server->index;
    struct s5_server configured, *own = (struct s5_server *)(uintptr_t)server;
    struct s5_critical critical;
    if (__atomic_load_n(&server->bridged, __ATOMIC_ACQUIRE) == S5_SERVER_BRIDGED)
        return 0;
    if (!s5_policy_file_server(get_policy_fd(e), server, &configured) || !s5_lock_take(&e->policy_lock, &critical))
        return -ECONNREFUSED;
    if (own->bridged != S5_SERVER_BRIDGED)
        redirect_entry(&atomic_load(&e->shm)->bridge, index, &configured, own);
    s5_lock_give(&e->policy_lock, &critical);
    explicit_bzero(&configured, sizeof configured);
    return 0;
}

void s5_bridge_restore(struct s5_engine *e)
{
    struct s5_policy *own = (struct s5_policy *)(uintptr_t)e->policy;
    struct s5_server configured;
    struct s5_critical critical;
    if (!own || !s5_lock_take(&e->policy_lock, &critical))
        return;
    for (unsigned i = 0; i < own->n_servers; i++)
        if (own->servers[i].bridged && s5_policy_file_server(get_policy_fd(e), &own->servers[i], &configured))
            own->servers[i] = configured;
    s5_lock_give(&e->policy_lock, &critical);
    explicit_bzero(&configured, sizeof configured);
}

bool s5_bridge_answers(const struct s5_engine *e, const struct s5_server *server, const struct s5_endpoint *at)
{
    static const uint8_t here[4] = {127, 0, 0, 1};
    struct s5_addr addr;
    return s5_bridge_fronts(server) && s5_addr_from_sockaddr(&addr, &at->any, at->len) == 0 &&
           addr.kind == S5_ADDR_IPV4 && memcmp(addr.octets, here, sizeof here) == 0 &&
           addr.port == atomic_load(&e->shm)->bridge.port;
}

bool s5_bridge_local(struct s5_engine *e, unsigned index, int family, uint16_t port, struct s5_endpoint *ret)
{
    struct s5_server configured;
    struct sockaddr_storage sa;
    socklen_t len;
    bool found = false;
    if (!s5_policy_file_server(get_policy_fd(e), &e->policy->servers[index], &configured))
        return false;
    struct s5_addr addr = {.kind = configured.addrs[0].kind, .port = configured.port};
    memcpy(addr.octets, configured.addrs[0].octets, sizeof configured.addrs[0].octets);
    bool known = configured.n_addrs > 0;
    explicit_bzero(&configured, sizeof configured);
    if (!known || s5_addr_to_sockaddr(&addr, family, &sa, &len) < 0)
        return false;
    int saved = errno, fd = e->real->socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && s5_engine_real_connect(e, fd, (struct sockaddr *)&sa, len) == 0) {
        socklen_t size = sizeof ret->v6;
        found = e->real->getsockname(fd, &ret->any, &size) == 0;
        ret->len = found ? size : 0;
        ret->v4.sin_port = htons(port); /* the port is at the same offset in both families */
    }
    if (fd >= 0)
        e->real->close(fd);
    errno = saved;
    return found;
}

/* --- starting --- */

struct spawn {
    const struct s5_bridge_start *how;
    char *argv[4];
    char **envp;
    pid_t pid; /* of the bridge; 0: not started */
    uint8_t *stack;
};

static void set_descriptors(const struct s5_bridge_start *how)
{
    int null = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
    syscall(SYS_dup3, how->error_fd >= 0 ? how->error_fd : null, 2, 0);
    syscall(SYS_dup3, null, 0, 0);
    syscall(SYS_dup3, null, 1, 0);
    s5_close_descriptors(3, (unsigned)how->shm_fd - 1);
    s5_close_descriptors((unsigned)how->shm_fd + S5_SHM_FDS, ~0U);
    for (int i = 0; i < S5_SHM_FDS; i++)
        syscall(SYS_fcntl, how->shm_fd + i, F_SETFD, 0);
}

/* Executes the bridge. The memory is still shared with the program, so nothing of it is written. */
static int exec_bridge(void *user)
{
    struct spawn *s = user;
    uint64_t none = 0;
    syscall(SYS_setsid);
    set_descriptors(s->how);
    syscall(SYS_chdir, "/");
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
    syscall(SYS_execve, s->argv[0], s->argv, s->envp);
    syscall(SYS_exit_group, 127);
    return 127;
}

/* Clones the bridge and ends at once, so that the bridge is not a child of this process. */
static int clone_bridge(void *user)
{
    struct spawn *s = user;
    s->pid = clone(exec_bridge, s->stack + STACK, CLONE_VM | CLONE_VFORK, s);
    syscall(SYS_exit_group, 0);
    return 0;
}

static size_t count_strings(char *const *strings)
{
    size_t n = 0;
    while (strings && strings[n])
        n++;
    return n;
}

static bool has_prefix(const char *string, const char *with)
{
    return strncmp(string, with, strlen(with)) == 0;
}

/* Copies the environment without LD_PRELOAD and adds STATE. */
static void fill_environment(char **to, char *const *from, char *state)
{
    for (size_t i = 0; i < count_strings(from); i++)
        if (!has_prefix(from[i], "LD_PRELOAD=") && !has_prefix(from[i], S5_SHM_VARIABLE "="))
            *to++ = from[i];
    *to++ = state;
    *to = NULL;
}

static char *format_decimal(char end[static 12], unsigned value)
{
    char *at = end + 11;
    *at = '\0';
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    return at;
}

int s5_bridge_spawn(const struct s5_bridge_start *how, pid_t starter)
{
    char pid[12], state[sizeof S5_SHM_VARIABLE + S5_SHM_VALUE_MAX] = S5_SHM_VARIABLE "=";
    struct spawn s = {how, {(char *)(uintptr_t)how->path, (char *)"--tree", NULL, NULL}, NULL, 0, NULL};
    struct stat st;
    int r = fstat(how->shm_fd, &st) == 0 ? 0 : -errno;
    s5_shm_value(&(struct s5_shm_location){.fd = how->shm_fd, .inode = st.st_ino}, state + sizeof S5_SHM_VARIABLE);
    size_t words = (count_strings(how->environ_strings) + 2) * sizeof(char *), size = words + 3 * STACK;
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r < 0 || memory == MAP_FAILED)
        return r < 0 ? r : -ENOMEM;
    s.argv[2] = format_decimal(pid, (unsigned)starter);
    s.envp = (char **)(memory + 2 * STACK);
    s.stack = memory;
    fill_environment(s.envp, how->environ_strings, state);
    int child = clone(clone_bridge, memory + 2 * STACK, CLONE_VM | CLONE_VFORK, &s);
    r = child < 0 ? -errno : 0;
    while (child > 0 && syscall(SYS_wait4, child, NULL, __WALL, NULL) < 0 && errno == EINTR)
        ;
    munmap(memory, size);
    return r < 0 ? r : s.pid > 0 ? s.pid : -ECONNREFUSED;
}

/* A bridge within the fence could not connect, so the companion starts it. Returns as s5_bridge_spawn(). */
static int spawn_bridge(const struct s5_bridge_start *how)
{
    struct s5_companion_request request = {.service = S5_COMPANION_BRIDGE};
    struct s5_companion_bridge reply;
    enum s5_fence fence = s5_fence();
    if (fence == S5_FENCE_NONE)
        return s5_bridge_spawn(how, (pid_t)syscall(SYS_getpid));
    if (fence == S5_FENCE_WATCHED && s5_companion_request_send(&request, &reply, sizeof reply) == sizeof reply)
        return reply.pid;
    return -ECONNREFUSED;
}

static void sleep_briefly(void)
{
    struct timespec pause = {0, 1000000};
    nanosleep(&pause, NULL); /* a cancellation point */
}

static bool is_running(pid_t pid)
{
    return syscall(SYS_kill, pid, 0) == 0 || errno == EPERM;
}

/* In the state NONE: makes the caller the process that starts the bridge. Returns 1; 0: another process was first; or
 * -errno. A bridge that is still alive may be about to end: it either continues, or it ends and another is started. */
static int begin_start(const struct s5_bridge_start *how)
{
    struct s5_bridge_place *place = &how->shm->bridge;
    uint32_t none = S5_BRIDGE_NONE;
    int pid = 0;
    if (!atomic_compare_exchange_strong(&place->state, &none, S5_BRIDGE_STARTING))
        return 0;
    atomic_store(&place->starter, (int32_t)syscall(SYS_getpid));
    atomic_store(&place->process, how->process);
    atomic_store(&place->until, s5_clock_now() + START_TIMEOUT_NS);
    atomic_store(&place->pid, 0);
    if (!is_alive(how->shm_fd)) {
        atomic_store(&place->ready, 0);
        pid = spawn_bridge(how);
        atomic_store(&place->pid, pid);
    }
    if (pid < 0)
        atomic_store(&place->state, S5_BRIDGE_NONE);
    return pid < 0 ? pid : 1;
}

static bool is_starter(const struct s5_bridge_place *place)
{
    return atomic_load(&place->starter) == (int32_t)syscall(SYS_getpid);
}

/* Returns true if the starting process or its bridge has ended, or the timeout has passed. */
static bool is_start_abandoned(const struct s5_bridge_start *how)
{
    struct s5_bridge_place *place = &how->shm->bridge;
    int32_t pid = atomic_load(&place->pid);
    return s5_clock_now() > atomic_load(&place->until) || (is_starter(place) && pid && !is_running(pid)) ||
           s5_process_has_ended(how->shm_fd, how->process, atomic_load(&place->process));
}

/* In the state STARTING: returns 1 if the bridge is up, 0 if it is not up yet. */
static int check_ready(const struct s5_bridge_start *how)
{
    struct s5_bridge_place *place = &how->shm->bridge;
    uint32_t starting = S5_BRIDGE_STARTING;
    int32_t none = 0;
    if (atomic_load_explicit(&place->ready, memory_order_acquire) && is_alive(how->shm_fd))
        return atomic_compare_exchange_strong(&place->state, &starting, S5_BRIDGE_UP);
    if (is_start_abandoned(how)) {
        atomic_compare_exchange_strong(&place->state, &starting, S5_BRIDGE_NONE);
        return 0;
    }
    /* The previous bridge has ended. PID -1: a thread of this process is starting the next one. */
    if (is_starter(place) && !atomic_load(&place->pid) && !is_alive(how->shm_fd) &&
        atomic_compare_exchange_strong(&place->pid, &none, -1)) {
        int pid = spawn_bridge(how);
        atomic_store(&place->pid, pid);
        if (pid < 0)
            atomic_store(&place->state, S5_BRIDGE_NONE);
    }
    return 0;
}

/* Makes one step. Returns 1: the bridge is up; 0: another step is needed, after a pause; or -errno. *MINE: the caller
 * started the bridge, and fails if the start fails. */
static int advance_start(const struct s5_bridge_start *how, bool *mine)
{
    struct s5_bridge_place *place = &how->shm->bridge;
    uint32_t state = atomic_load(&place->state);
    int r;
    switch ((enum s5_bridge_state)state) {
    case S5_BRIDGE_UP:
        if (is_alive(how->shm_fd))
            return 1;
        atomic_compare_exchange_strong(&place->state, &state, S5_BRIDGE_NONE);
        return 0;
    case S5_BRIDGE_STARTING:
        return check_ready(how);
    case S5_BRIDGE_NONE:
        break;
    }
    if (*mine)
        return -ECONNREFUSED;
    r = begin_start(how);
    *mine = r > 0;
    return r < 0 ? r : 0;
}

int s5_bridge_ensure(const struct s5_bridge_start *how)
{
    int r = 0, saved = errno;
    bool mine = false;
    uint64_t until = s5_clock_now() + 2 * START_TIMEOUT_NS;
    if (how->shm_fd < 0)
        return -ECONNREFUSED;
    for (;;) {
        struct s5_in_engine_section section;
        /* Blocks signals: a handler of the program that ran in a clone would run in the memory of the program. */
        s5_in_engine_begin(&section);
        r = advance_start(how, &mine);
        s5_in_engine_end(&section);
        if (r != 0 || s5_clock_now() > until)
            break;
        sleep_briefly();
    }
    errno = saved;
    return r > 0 ? 0 : -ECONNREFUSED;
}

/* The bridge holds a lock on an octet of the tree's file as long as it lives, however it ends: that is how others
 * tell. One process starts it, the others wait. Each step is a critical section, in which calls are the engine's own;
 * nothing is held while somebody waits, so a handler may leave the wait, and another thread or process goes on. It is
 * made by two clones that share this process's memory and run nothing of the program's: no fork handler, no SIGCHLD,
 * no child for the program's wait() to find. */
#include "bridge.h"
#include "byte_lock.h"
#include "clock.h"
#include "in_engine.h"
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

#define LOCK_AT     0                      /* the octet of the file that the bridge locks */
#define PATIENCE_NS (10 * S5_CLOCK_SECOND) /* for a bridge to come up */
#define STACK       65536
#define SEALING     256 /* octets that protection adds to a datagram, at the most */
#define GRACE       5   /* seconds the bridge's own time-out is given before ours */

static bool offers_gssapi(const struct s5_server *server)
{
    return memchr(server->methods, S5_METHOD_GSSAPI, server->n_methods) != NULL;
}

bool s5_bridge_fronts(const struct s5_server *server)
{
    return server->bridged || server->is_path || offers_gssapi(server);
}

/* --- alive or not --- */

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

/* The user name's end tells the server: ".INDEX". */
static uint8_t user_name(char *to, const char *user, unsigned index)
{
    uint8_t n = S5_BRIDGE_WORD;
    memcpy(to, user, n);
    to[n++] = '.';
    if (index >= 10)
        to[n++] = (char)('0' + index / 10);
    to[n++] = (char)('0' + index % 10);
    return n;
}

/* Whether datagrams get longer on their way to SERVER, which is as it was meant. */
static bool is_sealed(const struct s5_server *server)
{
    return offers_gssapi(server) && server->gssapi_protection > 0;
}

/* OWN is only told to lead there once it is whole: who forks meanwhile has a child that begins anew. */
static void turn(const struct s5_bridge_place *place, unsigned index, const struct s5_server *meant,
                 struct s5_server *own)
{
    __atomic_store_n(&own->bridged, S5_SERVER_TURNING, __ATOMIC_RELEASE);
    own->is_path = false;
    own->port = place->port;
    own->datagram_most = is_sealed(meant) ? 65507 - SEALING : 0;
    own->n_methods = 1;
    own->methods[0] = S5_METHOD_USERPASS;
    own->pipeline = S5_PIPELINE_ON;
    own->timeout = (uint16_t)(meant->timeout + GRACE);
    own->username_len = user_name(own->username, place->user, index);
    own->password_len = S5_BRIDGE_WORD;
    memcpy(own->password, place->password, S5_BRIDGE_WORD);
    own->addrs[0] = (struct s5_ip){S5_ADDR_IPV4, {127, 0, 0, 1}};
    own->n_addrs = 1;
    __atomic_store_n(&own->bridged, S5_SERVER_BRIDGED, __ATOMIC_RELEASE);
}

static int policy_fd(const struct s5_engine *e)
{
    return atomic_load(&e->shm_fd) + 1;
}

int s5_bridge_turn(struct s5_engine *e, const struct s5_server *server)
{
    unsigned index = (unsigned)(server - e->policy->servers);
    struct s5_server meant, *own = (struct s5_server *)(uintptr_t)server;
    struct s5_critical critical;
    if (__atomic_load_n(&server->bridged, __ATOMIC_ACQUIRE) == S5_SERVER_BRIDGED)
        return 0;
    if (!s5_policy_file_server(policy_fd(e), index, &meant) || !s5_lock_take(&e->policy_lock, &critical))
        return -ECONNREFUSED;
    if (own->bridged != S5_SERVER_BRIDGED)
        turn(&atomic_load(&e->shm)->bridge, index, &meant, own);
    s5_lock_give(&e->policy_lock, &critical);
    explicit_bzero(&meant, sizeof meant);
    return 0;
}

void s5_bridge_turn_back(struct s5_engine *e)
{
    struct s5_policy *own = (struct s5_policy *)(uintptr_t)e->policy;
    struct s5_server meant;
    struct s5_critical critical;
    if (!own || !s5_lock_take(&e->policy_lock, &critical))
        return;
    for (unsigned i = 0; i < own->n_servers; i++)
        if (own->servers[i].bridged && s5_policy_file_server(policy_fd(e), i, &meant))
            own->servers[i] = meant;
    s5_lock_give(&e->policy_lock, &critical);
    explicit_bzero(&meant, sizeof meant);
}

bool s5_bridge_local(struct s5_engine *e, unsigned index, int family, uint16_t port, struct s5_endpoint *ret)
{
    struct s5_server meant;
    struct sockaddr_storage sa;
    socklen_t len;
    bool found = false;
    if (!s5_policy_file_server(policy_fd(e), index, &meant))
        return false;
    struct s5_addr addr = {.kind = meant.addrs[0].kind, .port = meant.port};
    memcpy(addr.octets, meant.addrs[0].octets, sizeof meant.addrs[0].octets);
    bool known = meant.n_addrs > 0;
    explicit_bzero(&meant, sizeof meant);
    if (!known || s5_addr_to_sockaddr(&addr, family, &sa, &len) < 0)
        return false;
    int saved = errno, fd = e->real->socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && e->real->connect(fd, (struct sockaddr *)&sa, len) == 0) {
        socklen_t size = sizeof ret->v6;
        found = e->real->getsockname(fd, &ret->any, &size) == 0;
        ret->len = found ? size : 0;
        ret->v4.sin_port = htons(port); /* where both families have it */
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
    pid_t pid; /* of the bridge; 0: none */
    uint8_t *stack;
};

/* All descriptors from FROM to TO, both included. */
static void close_between(unsigned from, unsigned to)
{
    if (from > to || syscall(SYS_close_range, from, to, 0) == 0)
        return;
    for (unsigned fd = from; fd <= to && fd < 65536; fd++)
        syscall(SYS_close, fd);
}

static void set_descriptors(const struct s5_bridge_start *how)
{
    int null = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
    syscall(SYS_dup3, how->error_fd >= 0 ? how->error_fd : null, 2, 0);
    syscall(SYS_dup3, null, 0, 0);
    syscall(SYS_dup3, null, 1, 0);
    close_between(3, (unsigned)how->shm_fd - 1);
    close_between((unsigned)how->shm_fd + S5_SHM_FDS, ~0U);
    for (int i = 0; i < S5_SHM_FDS; i++)
        syscall(SYS_fcntl, how->shm_fd + i, F_SETFD, 0);
}

/* Becomes the bridge. The memory is the program's still: nothing of it is written. */
static int become(void *user)
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

/* Ends at once, so that the bridge is nobody's child here. */
static int between(void *user)
{
    struct spawn *s = user;
    s->pid = clone(become, s->stack + STACK, CLONE_VM | CLONE_VFORK, s);
    syscall(SYS_exit_group, 0);
    return 0;
}

static size_t count(char *const *strings)
{
    size_t n = 0;
    while (strings && strings[n])
        n++;
    return n;
}

static bool begins(const char *string, const char *with)
{
    return strncmp(string, with, strlen(with)) == 0;
}

/* The environment, with STATE in it and nothing preloaded. */
static void fill_environment(char **to, char *const *from, char *state)
{
    for (size_t i = 0; i < count(from); i++)
        if (!begins(from[i], "LD_PRELOAD=") && !begins(from[i], S5_SHM_VARIABLE "="))
            *to++ = from[i];
    *to++ = state;
    *to = NULL;
}

static char *decimal(char end[static 12], unsigned value)
{
    char *at = end + 11;
    *at = '\0';
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    return at;
}

/* 0 once it runs or has failed to, -errno: it could not be tried. */
static int spawn(const struct s5_bridge_start *how)
{
    char pid[12], state[sizeof S5_SHM_VARIABLE + S5_SHM_VALUE_MAX] = S5_SHM_VARIABLE "=";
    struct spawn s = {how, {(char *)(uintptr_t)how->path, (char *)"--tree", NULL, NULL}, NULL, 0, NULL};
    struct stat st;
    int r = fstat(how->shm_fd, &st) == 0 ? 0 : -errno;
    s5_shm_value(&(struct s5_shm_location){.fd = how->shm_fd, .inode = st.st_ino}, state + sizeof S5_SHM_VARIABLE);
    size_t words = (count(how->environ_strings) + 2) * sizeof(char *), room = words + 3 * STACK;
    uint8_t *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r < 0 || memory == MAP_FAILED)
        return r < 0 ? r : -ENOMEM;
    s.argv[2] = decimal(pid, (unsigned)syscall(SYS_getpid));
    s.envp = (char **)(memory + 2 * STACK);
    s.stack = memory;
    fill_environment(s.envp, how->environ_strings, state);
    int child = clone(between, memory + 2 * STACK, CLONE_VM | CLONE_VFORK, &s);
    r = child < 0 ? -errno : 0;
    while (child > 0 && syscall(SYS_wait4, child, NULL, __WALL, NULL) < 0 && errno == EINTR)
        ;
    munmap(memory, room);
    return r < 0 ? r : s.pid > 0 ? s.pid : -ECONNREFUSED;
}

static void pause_shortly(void)
{
    struct timespec pause = {0, 1000000};
    nanosleep(&pause, NULL); /* here a thread may be cancelled */
}

static bool runs(pid_t pid)
{
    return syscall(SYS_kill, pid, 0) == 0 || errno == EPERM;
}

/* In the state NONE: the caller is who starts one. 1; 0: another was quicker; -errno. One that lives may be about
 * to leave: it stays, or it goes and another follows. */
static int begin(const struct s5_bridge_start *how)
{
    struct s5_bridge_place *place = &how->shm->bridge;
    uint32_t none = S5_BRIDGE_NONE;
    int pid = 0;
    if (!atomic_compare_exchange_strong(&place->state, &none, S5_BRIDGE_STARTING))
        return 0;
    atomic_store(&place->starter, (int32_t)syscall(SYS_getpid));
    atomic_store(&place->process, how->process);
    atomic_store(&place->until, s5_clock_now() + PATIENCE_NS);
    atomic_store(&place->pid, 0);
    if (!is_alive(how->shm_fd)) {
        atomic_store(&place->ready, 0);
        pid = spawn(how);
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

/* Whether who is at it has ended, or nothing has come of it. */
static bool is_given_up(const struct s5_bridge_start *how)
{
    struct s5_bridge_place *place = &how->shm->bridge;
    int32_t pid = atomic_load(&place->pid);
    return s5_clock_now() > atomic_load(&place->until) || (is_starter(place) && pid && !runs(pid)) ||
           s5_process_has_ended(how->shm_fd, how->process, atomic_load(&place->process));
}

/* In the state STARTING: 1 it is up, 0 not yet. */
static int look_whether_ready(const struct s5_bridge_start *how)
{
    struct s5_bridge_place *place = &how->shm->bridge;
    uint32_t starting = S5_BRIDGE_STARTING;
    int32_t none = 0;
    if (atomic_load_explicit(&place->ready, memory_order_acquire) && is_alive(how->shm_fd))
        return atomic_compare_exchange_strong(&place->state, &starting, S5_BRIDGE_UP);
    if (is_given_up(how)) {
        atomic_compare_exchange_strong(&place->state, &starting, S5_BRIDGE_NONE);
        return 0;
    }
    /* The one that was there has gone. -1: a thread of this process is about to. */
    if (is_starter(place) && !atomic_load(&place->pid) && !is_alive(how->shm_fd) &&
        atomic_compare_exchange_strong(&place->pid, &none, -1)) {
        int pid = spawn(how);
        atomic_store(&place->pid, pid);
        if (pid < 0)
            atomic_store(&place->state, S5_BRIDGE_NONE);
    }
    return 0;
}

/* One step of getting there: 1 it is up, 0 another step, after a while, -errno. *MINE: the caller started it, and
 * fails when that fails. */
static int advance(const struct s5_bridge_start *how, bool *mine)
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
        return look_whether_ready(how);
    case S5_BRIDGE_NONE:
        break;
    }
    if (*mine)
        return -ECONNREFUSED;
    r = begin(how);
    *mine = r > 0;
    return r < 0 ? r : 0;
}

int s5_bridge_ensure(const struct s5_bridge_start *how)
{
    int r = 0, saved = errno;
    bool mine = false;
    uint64_t until = s5_clock_now() + 2 * PATIENCE_NS;
    if (how->shm_fd < 0)
        return -ECONNREFUSED;
    for (;;) {
        struct s5_in_engine_section quiet;
        /* A handler of the program that ran in a clone would run in the program's own memory. */
        s5_in_engine_begin(&quiet);
        r = advance(how, &mine);
        s5_in_engine_end(&quiet);
        if (r != 0 || s5_clock_now() > until)
            break;
        pause_shortly();
    }
    errno = saved;
    return r > 0 ? 0 : -ECONNREFUSED;
}

/* socks5-bridge: the listener, signals, and the end of the process.
 *
 * A bridge for a process tree serves while the process that started it lives and while it has connections. After
 * LINGER_MS without either it removes its place from the shared memory. It listens for PARTING_MS more, so that
 * processes which have just read the place are served, too. A process that needs a bridge in that time gets this one
 * again. A process that needs one later starts another.
 *
 * A stand-alone bridge serves until SIGTERM or SIGINT. It then closes its listener and ends with its last connection. A
 * second signal ends it at once. On SIGHUP it reads its configuration again.
 *
 * Each request is served by the policy that is in force when it comes. An older policy stays in memory. */
#include "bridge.h"
#include "alone.h"
#include "conn.h"
#include "journal.h"
#include "peer.h"
#include "reload.h"
#include "upstream.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TICK_MS    500
#define SOON_MS    20
#define LINGER_MS  2000 /* without a starter and without a connection: until the place is removed */
#define PARTING_MS 1000 /* after that: until the end */

static struct {
    struct watch listener, signals, starter;
    struct s5_shm *shm;  /* shared state of the process tree; NULL: the bridge is stand-alone */
    bool ending;         /* a signal has come, or the starter has ended */
    bool parting;        /* the place is removed from the shared memory */
    int64_t idle_since;  /* ms; since then ENDING is set and there is no connection; 0: otherwise */
    uint32_t generation; /* of the policy of the process tree that was read, or refused, last */
    struct arguments options;
} self = {.listener.fd = -1, .signals.fd = -1, .starter.fd = -1};

static struct s5_policy own_policy;

/* --- incoming connections --- */

/* Returns true if the client with the address PEER may use the bridge. If clients have to authenticate, every client
 * may connect. Otherwise only programs of the same user may. */
static bool is_client_allowed(int fd, const struct sockaddr_storage *peer, socklen_t len)
{
    if (conns.users.user || peer_is_same_user(fd, (const struct sockaddr *)peer, len))
        return true;
    journal(S5_LOG_WARNING, "refused a connection of another user");
    return false;
}

static void listener_ready(struct watch *w, uint32_t ready)
{
    (void)ready;
    for (int i = 0; i < 64; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int fd = accept4(w->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            conns.starved = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
            if (conns.starved)
                loop_set_events(w, 0); /* no accept() until the next tick */
            return;
        }
        if (is_client_allowed(fd, &peer, len))
            conn_begin(fd);
        else
            close(fd);
    }
}

static int listen_at(const struct s5_addr *addr, uint16_t *ret_port)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    int on = 1;
    int family = addr->kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6;
    s5_addr_to_sockaddr(addr, family, &sa, &len);
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 4096) < 0)
        return -errno;
    len = sizeof sa;
    struct s5_addr bound;
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
        s5_addr_from_sockaddr(&bound, (struct sockaddr *)&sa, len) < 0)
        return -errno;
    *ret_port = bound.port;
    self.listener = (struct watch){.fd = fd, .ready = listener_ready};
    return loop_set_events(&self.listener, EPOLLIN);
}

/* --- the end of the process --- */

/* Redirects standard output and standard error to /dev/null. The bridge no longer holds the starter's output open, so
 * its readers see the end of file. */
static void discard_output(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    dup2(null, 1);
    dup2(null, 2);
    close(null);
}

static void starter_ready(struct watch *w, uint32_t ready)
{
    (void)ready;
    loop_close(w);
    self.ending = true;
    discard_output();
}

/* Watches the process PID, which started the bridge. A process that has ended already counts as one that ends now. */
static void watch_starter(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    loop_close(&self.starter);
    self.starter = (struct watch){.fd = fd, .ready = starter_ready};
    self.ending = fd < 0 || loop_set_events(&self.starter, EPOLLIN) < 0;
}

/* Reads the configuration of a stand-alone bridge again. A mistake changes nothing. */
static void reload_own_policy(void)
{
    struct s5_policy_file *file = s5_policy_file_private();
    if (!file || alone_reload(&file->policy, &self.options) != 0) {
        if (file)
            s5_policy_file_unmap(file);
        return;
    }
    conns.policy = &file->policy;
    journal_begin(conns.policy);
    journal(S5_LOG_INFO, "the configuration was read again");
}

static void signals_ready(struct watch *w, uint32_t ready)
{
    struct signalfd_siginfo info;
    (void)ready;
    while (read(w->fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP) {
            reload_own_policy();
            continue;
        }
        if (self.ending && !self.shm)
            exit(0);
        self.ending = true;
        if (!self.shm)
            loop_close(&self.listener);
    }
}

static int watch_signals(bool alone)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (alone)
        sigaddset(&set, SIGHUP);
    sigprocmask(SIG_SETMASK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);                  /* the log file may be limited */
    signal(SIGHUP, alone ? SIG_DFL : SIG_IGN); /* blocked, if it is read from the descriptor */
    signal(SIGCHLD, SIG_DFL);
    self.signals = (struct watch){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = signals_ready};
    return loop_set_events(&self.signals, EPOLLIN);
}

/* Puts the place back into the shared memory if it is removed and a process needs this bridge again. Returns true if
 * that is so. */
static bool resume_if_needed(void)
{
    int32_t starter;
    if (!self.parting || !s5_bridge_is_wanted(self.shm, &starter))
        return false;
    self.parting = false;
    watch_starter(starter);
    atomic_store(&self.shm->bridge.ready, 1);
    return true;
}

/* Returns true if the bridge has no more work. Removes its place from the shared memory before that. */
static bool can_exit(void)
{
    if (resume_if_needed() || !self.ending || conns.count) {
        self.idle_since = 0;
        return false;
    }
    if (!self.shm)
        return true;
    if (!self.idle_since)
        self.idle_since = loop_now();
    int64_t idle = loop_now() - self.idle_since;
    if (idle >= LINGER_MS && !self.parting) {
        s5_bridge_leave(self.shm);
        self.parting = true;
    }
    return idle >= LINGER_MS + PARTING_MS;
}

/* --- service for a process tree --- */

static void make_random_word(char to[static S5_BRIDGE_WORD + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t octets[S5_BRIDGE_WORD / 2];
    if (getrandom(octets, sizeof octets, 0) != (ssize_t)sizeof octets)
        exit(125);
    for (size_t i = 0; i < S5_BRIDGE_WORD; i++)
        to[i] = digits[octets[i / 2] >> (i % 2 * 4) & 15];
    to[S5_BRIDGE_WORD] = '\0';
}

/* Listens at PLACE. The first bridge of a process tree chooses the port, user name and password. Later ones use the
 * same. */
static int serve_place(struct s5_bridge_place *place)
{
    struct s5_addr here = {.kind = S5_ADDR_IPV4, .port = place->port, .octets = {127, 0, 0, 1}};
    uint16_t port;
    if (listen_at(&here, &port) < 0)
        return 125;
    if (!place->port) {
        make_random_word(place->user);
        make_random_word(place->password);
        place->port = port;
    }
    conns.users = (struct front_users){place->user, place->password, true};
    atomic_store(&place->ready, 1);
    return 0;
}

/* Takes the policy that a reload has made for the process tree. */
static void follow_reload(void)
{
    struct s5_policy_file *file;
    uint32_t generation;
    if (atomic_load(&self.shm->generation) == self.generation)
        return;
    int r = s5_reload_fetch(self.shm, &file, &generation);
    if (r == 0 || r == -EBADMSG)
        self.generation = generation;
    if (r == -EBADMSG)
        journal(S5_LOG_ERROR, "reload: the shared memory is damaged; the policy before it remains in force");
    if (r < 0)
        return;
    alone_resolve(&file->policy);
    conns.policy = &file->policy;
    journal_begin(conns.policy);
}

static int serve_shm(pid_t starter)
{
    const char *value = getenv(S5_SHM_VARIABLE);
    struct s5_shm_location place;
    struct s5_policy_file *file;
    if (!value || s5_shm_attach(value, &self.shm, &place) < 0 || !s5_bridge_claim(place.fd) ||
        !(file = s5_shm_policy(self.shm, place.fd, NULL)))
        return 125;
    for (int i = 0; i < S5_SHM_FDS; i++)
        fcntl(place.fd + i, F_SETFD, FD_CLOEXEC);
    unsetenv(S5_SHM_VARIABLE);
    alone_resolve(&file->policy);
    conns.policy = &file->policy;
    conns.refresh = follow_reload;
    conns.shm = true;
    watch_starter(starter);
    return serve_place(&self.shm->bridge);
}

static int serve_stand_alone(const struct arguments *options)
{
    uint16_t port;
    int code = alone_load(&own_policy, &conns.users, options);
    if (code != 0)
        return code;
    conns.policy = &own_policy;
    int result = listen_at(&options->listen, &port);
    if (result < 0) {
        fprintf(stderr, "socks5-bridge: --listen: %s\n", strerror(-result));
        return 125;
    }
    return 0;
}

/* Raises the limit of descriptors to its maximum: there may be thousands of connections, and each takes two
 * descriptors. */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct arguments options;
    int code = arguments_parse(&options, argc, argv);
    if (code != ARGUMENTS_RUN)
        return code;
    prctl(PR_SET_DUMPABLE, 0); /* the process holds passwords and keys */
    raise_fd_limit();
    self.options = options;
    if (loop_begin() < 0 || watch_signals(options.shm <= 0) < 0)
        return 125;
    ticket_done = upstream_ticket_done;
    code = options.shm > 0 ? serve_shm(options.shm) : serve_stand_alone(&options);
    if (code != 0)
        return code;
    journal_begin(conns.policy);
    while (!can_exit()) {
        bool soon = self.parting || conns.crowded;
        loop_run_once(soon ? SOON_MS : conns.count || self.ending ? TICK_MS : -1);
        conn_expire();
        if (conns.starved) {
            conns.starved = false;
            loop_set_events(&self.listener, EPOLLIN);
        }
    }
    return 0;
}

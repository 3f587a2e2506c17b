/* Makes each entry of the table of real calls fail: the N-th call of a scenario, for N = 1 until the scenario
 * makes fewer calls, with each of several errors. The arguments are HOST, PORT, SCENARIO and SERVER. HOST and
 * PORT are an echo service. SERVER is the address of the SOCKS server; no other address may be connected to. The
 * program is linked with the preload object, to which the table belongs. Whatever fails: the scenario ends in
 * time, returns only an error that a program can act on, and leaks no descriptor. */
#include "app.h"
#include "engine.h"
#include "server_cache.h"
#include <netdb.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/uio.h>

typedef void (*found_fn)(void);
extern struct s5_calls s5_real;
extern struct s5_engine s5_begin_engine;
found_fn s5_real_find(const char *name);

static struct s5_calls true_calls;
static struct peer p;
static const char *server;
static int left;  /* calls until one fails; below 1: none fails (any more) */
static int fault; /* the errno of that failure */
static const char *failed;

static bool is_due(const char *name)
{
    if (left <= 0 || --left > 0)
        return false;
    failed = name;
    errno = fault;
    return true;
}

#define S5_CALL(ret, name, params, args)                                                                               \
    static ret failing_##name params                                                                                   \
    {                                                                                                                  \
        return is_due(#name) ? -1 : true_calls.name args;                                                              \
    }
#include "system_calls.def"

/* close() releases the descriptor even when it fails. */
static int close_or_fail(int fd)
{
    bool fails = is_due("close");
    int r = true_calls.close(fd);
    if (fails)
        errno = fault;
    return fails ? -1 : r;
}

static int so_type(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);
    true_calls.getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    return type;
}

/* A call with MSG_DONTWAIT is not interrupted by a signal, and the buffer of a new socket has space. */
static ssize_t send_or_fail(int fd, const void *buf, size_t n, int flags)
{
    bool never = flags & MSG_DONTWAIT && (fault == EINTR || fault == EAGAIN);
    return never ? true_calls.send(fd, buf, n, flags) : failing_send(fd, buf, n, flags);
}

static ssize_t recv_or_fail(int fd, void *buf, size_t n, int flags)
{
    bool never = flags & MSG_DONTWAIT && (fault == EINTR || fault == EAGAIN);
    return never ? true_calls.recv(fd, buf, n, flags) : failing_recv(fd, buf, n, flags);
}

/* A new registration may run out of memory; changing or deleting one needs none. */
static int epoll_ctl_or_fail(int ep, int op, int fd, struct epoll_event *event)
{
    return op == EPOLL_CTL_ADD ? failing_epoll_ctl(ep, op, fd, event) : true_calls.epoll_ctl(ep, op, fd, event);
}

/* Fails if the address is not that of the server. A connection attempt interrupted by a signal continues. */
static int connect_or_fail(int fd, const struct sockaddr *addr, socklen_t len)
{
    char text[INET_ADDRSTRLEN] = "";
    if (addr->sa_family == AF_UNSPEC) /* disconnecting cannot fail */
        return true_calls.connect(fd, addr, len);
    if (addr->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)addr)->sin_addr, text, sizeof(text));
        if (strcmp(text, server) != 0)
            FAIL("%s was connected to after %s failed", text, failed);
    }
    if (fault != EINTR)
        return failing_connect(fd, addr, len);
    if (so_type(fd) != SOCK_STREAM || true_calls.fcntl(fd, F_GETFL, 0) & O_NONBLOCK)
        return true_calls.connect(fd, addr, len); /* these are not interrupted by a signal */
    bool fails = is_due("connect");
    int r = true_calls.connect(fd, addr, len);
    if (fails)
        errno = EINTR;
    return fails ? -1 : r;
}

/* These two resolver functions return their error. */
static int getaddrinfo_or_fail(const char *node, const char *service, const struct addrinfo *hints,
                               struct addrinfo **ret)
{
    return is_due("getaddrinfo") ? EAI_MEMORY : true_calls.getaddrinfo(node, service, hints, ret);
}

static int getnameinfo_or_fail(const struct sockaddr *addr, socklen_t len, char *host, socklen_t hostlen, char *serv,
                               socklen_t servlen, int flags)
{
    if (is_due("getnameinfo"))
        return EAI_MEMORY;
    return true_calls.getnameinfo(addr, len, host, hostlen, serv, servlen, flags);
}

static void install_failing_calls(void)
{
#define S5_CALL(ret, name, params, args)                                                                               \
    true_calls.name = (ret(*) params)s5_real_find(#name);                                                              \
    if (true_calls.name)                                                                                               \
        s5_real.name = failing_##name;
#include "system_calls.def"
    s5_real.close = close_or_fail;
    s5_real.epoll_ctl = epoll_ctl_or_fail;
    s5_real.send = send_or_fail;
    s5_real.recv = recv_or_fail;
    s5_real.connect = connect_or_fail;
    s5_real.getaddrinfo = getaddrinfo_or_fail;
    s5_real.getnameinfo = getnameinfo_or_fail;
}

/* STEP for functions that have nothing to release. */
#define STEP_INTO(call)                                                                                                \
    do {                                                                                                               \
        if ((call) < 0)                                                                                                \
            return errno;                                                                                              \
    } while (0)

static int connect_blocking(void)
{
    char text[4];
    int error = 0, fd = tcp_socket(&p, 0);
    STEP(connect(fd, peer_addr(&p), p.len));
    STEP(send(fd, "mine", 4, MSG_NOSIGNAL));
    STEP(recv(fd, text, 4, MSG_WAITALL));
end:
    left = 0;
    close(fd);
    return error;
}

static int connect_poll(void)
{
    struct pollfd waits = {.events = POLLOUT};
    socklen_t len = sizeof(int);
    int error = 0, fd = tcp_socket(&p, SOCK_NONBLOCK);
    waits.fd = fd;
    if (connect(fd, peer_addr(&p), p.len) < 0 && errno != EINPROGRESS)
        STEP(-1);
    STEP(poll(&waits, 1, 20000));
    STEP(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    if (!waits.revents)
        FAIL("nothing within 20 s after %s failed with %s", failed, strerrorname_np(fault));
end:
    left = 0;
    close(fd);
    return error;
}

static int connect_epoll(void)
{
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET}, came;
    socklen_t len = sizeof(int);
    int error = 0, n = 0, fd = tcp_socket(&p, SOCK_NONBLOCK), ep = epoll_create1(0);
    STEP(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
    if (connect(fd, peer_addr(&p), p.len) < 0 && errno != EINPROGRESS)
        STEP(-1);
    STEP(n = epoll_wait(ep, &came, 1, 20000));
    if (n == 0)
        FAIL("nothing within 20 s after %s failed with %s", failed, strerrorname_np(fault));
    STEP(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
end:
    left = 0;
    close(ep);
    close(fd);
    return error;
}

static int accept_bind(void)
{
    struct sockaddr_in own = {.sin_family = AF_INET};
    socklen_t len = sizeof(own);
    int error = 0, fd = tcp_socket(&p, SOCK_NONBLOCK);
    inet_pton(AF_INET, "10.88.1.1", &own.sin_addr);
    STEP(bind(fd, (struct sockaddr *)&own, sizeof(own)));
    STEP(listen(fd, 5));
    STEP(getsockname(fd, (struct sockaddr *)&own, &len));
    if (accept(fd, NULL, NULL) < 0 && errno != EAGAIN)
        STEP(-1);
end:
    left = 0;
    close(fd);
    return error;
}

/* Sends the listener's address to the service of the target that connects to it, and accepts the connection. */
static int accept_caller(void)
{
    enum { CALLER = 13 };
    char text[128], host[INET_ADDRSTRLEN];
    struct peer at = p;
    struct sockaddr_in own = {.sin_family = AF_INET};
    struct timeval timeout = {1, 0};
    socklen_t len = sizeof(own);
    int error = 0, control = tcp_socket(&p, 0), fd = tcp_socket(&p, SOCK_NONBLOCK), peer = -1;
    struct pollfd waits = {fd, POLLIN, 0};
    ((struct sockaddr_in *)&at.addr)->sin_port = htons(CALLER);
    STEP(connect(control, peer_addr(&at), at.len));
    STEP(setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)));
    STEP(listen(fd, 5));
    STEP(getsockname(fd, (struct sockaddr *)&own, &len));
    inet_ntop(AF_INET, &own.sin_addr, host, sizeof(host));
    snprintf(text, sizeof(text), "%s %u\n", host, ntohs(own.sin_port));
    STEP(write(control, text, strlen(text)));
    STEP(poll(&waits, 1, 1000));
    if (!waits.revents && !failed)
        FAIL("no connection arrives");
    if (waits.revents)
        STEP(peer = accept4(fd, (struct sockaddr *)&own, &len, SOCK_CLOEXEC));
    if (peer >= 0) {
        STEP(setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)));
        STEP(read(peer, text, sizeof(text)));
        STEP(getpeername(peer, (struct sockaddr *)&own, &len));
        STEP(write(peer, "thanks\n", 7));
        STEP(read(control, text, 1));
    }
end:
    left = 0;
    close(peer);
    close(fd);
    close(control);
    return error;
}

static int connect_name(void)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
    char port[8], text[64];
    int error = 0, fd = tcp_socket(&p, 0);
    snprintf(port, sizeof(port), "%d", ntohs(((struct sockaddr_in *)&p.addr)->sin_port));
    int r = getaddrinfo("both.example", port, &hints, &list);
    if (r == 0)
        r = getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0, 0);
    if (r == 0 && strcmp(text, "both.example") != 0 && !failed)
        FAIL("the name of both.example is %s", text);
    CHECK(r == 0 || r == EAI_MEMORY || r == EAI_FAIL || r == EAI_AGAIN || r == EAI_SYSTEM);
    errno = ENOMEM;
    STEP(r ? -1 : 0);
    STEP(connect(fd, list->ai_addr, list->ai_addrlen));
    STEP(send(fd, "mine", 4, MSG_NOSIGNAL));
    STEP(recv(fd, text, 4, MSG_WAITALL));
    CHECK(memcmp(text, "mine", 4) == 0);
end:
    left = 0;
    if (list)
        freeaddrinfo(list);
    close(fd);
    return error;
}

/* Sends octets on FD and receives them again, with the pair of calls HOW. */
static int check_echo(int fd, int how)
{
    char text[4] = "mine";
    struct iovec iov = {text, 4};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    STEP_INTO(how == 0   ? write(fd, text, 4)
              : how == 1 ? writev(fd, &iov, 1)
              : how == 2 ? sendmsg(fd, &m.msg_hdr, MSG_NOSIGNAL)
                         : sendmmsg(fd, &m, 1, MSG_NOSIGNAL));
    memset(text, 0, sizeof(text));
    STEP_INTO(how == 0   ? read(fd, text, 4)
              : how == 1 ? readv(fd, &iov, 1)
              : how == 2 ? recvmsg(fd, &m.msg_hdr, MSG_WAITALL)
                         : recvmmsg(fd, &m, 1, MSG_WAITALL, NULL));
    if (memcmp(text, "mine", 4) != 0)
        FAIL("the echo differs after %s failed", failed);
    return 0;
}

static int send_datagram(void)
{
    char text[8];
    struct timeval timeout = {0, 300000};
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    int error = 0, fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct pollfd waits = {fd, POLLIN, 0};
    STEP(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)));
    STEP(sendto(fd, "mine", 4, 0, peer_addr(&p), p.len));
    STEP(poll(&waits, 1, 300));
    STEP(recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &len));
    if (memcmp(&from, &p.addr, sizeof(from)) != 0)
        FAIL("received from another address after %s failed", failed);
    STEP(connect(fd, peer_addr(&p), p.len));
    STEP(getpeername(fd, (struct sockaddr *)&from, &len));
    STEP(getsockname(fd, (struct sockaddr *)&from, &len));
    for (int how = 0; how < 4 && !error; how++)
        error = check_echo(fd, how);
end:
    left = 0;
    close(fd);
    return error;
}

/* Returns the socket of a connection in flight, made blocking, or -1. */
static int begin_connect(void)
{
    int fd = tcp_socket(&p, SOCK_NONBLOCK);
    if (connect(fd, peer_addr(&p), p.len) < 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    int keep = left;
    left = 0;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    left = keep;
    return fd;
}

static int send_in_flight(void)
{
    int error = 0;
    for (int how = 0; how < 4 && !error; how++) {
        int fd = begin_connect();
        error = fd < 0 ? errno : check_echo(fd, how);
        if (fd >= 0)
            close(fd);
    }
    left = 0;
    return error;
}

static int duplicate_fd(void)
{
    int error = 0, last = begin_connect(), other = tcp_socket(&p, 0);
    for (int how = 0; how < 4 && last >= 0; how++) {
        int next = how == 0   ? dup(last)
                   : how == 1 ? dup2(last, other)
                   : how == 2 ? dup3(last, other + 1, O_CLOEXEC)
                              : fcntl(last, F_DUPFD, other + 2);
        if (next < 0)
            error = error ? error : errno;
        else if (how != 3) {
            close(last);
            last = next;
        } else
            close(next);
    }
    if (last < 0)
        error = errno;
    int passed = last < 0 ? 0 : check_echo(last, 0);
    left = 0;
    if (last >= 0)
        close(last);
    if (last != other)
        close(other);
    return passed ? passed : error;
}

/* Waits for a child. Returns the errno that it reports, and records whether a call failed in it. */
static int wait_for_child(pid_t pid)
{
    int status;
    if (pid < 0)
        return errno;
    CHECK(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status))
        FAIL("a child ended with %#x", (unsigned)status);
    if (WEXITSTATUS(status) && !failed)
        failed = "a call of a child's";
    return WEXITSTATUS(status) > 1 ? WEXITSTATUS(status) - 2 : 0;
}

static int exit_status(int error)
{
    return error ? error + 2 : failed ? 1 : 0;
}

/* The connection is begun here and finished by a child. */
static int finish_in_child(void)
{
    int fd = begin_connect();
    if (fd < 0)
        return errno;
    pid_t pid = fork();
    if (pid == 0)
        _exit(exit_status(check_echo(fd, 1)));
    int error = wait_for_child(pid);
    left = 0;
    close(fd);
    return error;
}

/* The connection is made or begun here and finished by another program, in which the same number of calls is left. */
static int finish_in_program(int fd, bool spawns)
{
    char number[16], rest[16], why[16];
    pid_t pid;
    if (fd < 0)
        return errno;
    snprintf(number, sizeof(number), "%d", fd);
    snprintf(rest, sizeof(rest), "%d", left);
    snprintf(why, sizeof(why), "%d", fault);
    setenv("INJECT_LEFT", rest, 1);
    setenv("INJECT_FAULT", why, 1);
    char dash[] = "-", after[] = "after", *words[] = {dash, dash, dash, after, number, NULL};
    int error = 0;
    if (spawns)
        error = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, words, environ);
    else if ((pid = fork()) == 0) {
        execv("/proc/self/exe", words);
        _exit(exit_status(errno));
    }
    unsetenv("INJECT_LEFT");
    error = error ? error : wait_for_child(pid);
    left = 0;
    close(fd);
    return error;
}

static int finish_after_exec(void)
{
    return finish_in_program(begin_connect(), false);
}

static int finish_after_spawn(void)
{
    int fd = tcp_socket(&p, 0);
    if (connect(fd, peer_addr(&p), p.len) == 0)
        return finish_in_program(fd, true);
    int error = errno;
    close(fd);
    return error;
}

/* FAULTS: the number of errnos with which each call fails. tests/unit/test_injection.c uses all of them for
 * everything that needs only one process. An exec is too expensive to repeat. */
static const struct {
    const char *name;
    int (*run)(void);
    size_t faults, most;
} scenarios[] = {
    {"names", connect_name, 6, 6},        {"octets", send_in_flight, 6, 6},      {"doubled", duplicate_fd, 6, 6},
    {"forked", finish_in_child, 6, 6},    {"executed", finish_after_exec, 1, 1}, {"spawned", finish_after_spawn, 1, 1},
    {"blocking", connect_blocking, 2, 6}, {"poll", connect_poll, 2, 6},          {"epoll", connect_epoll, 2, 6},
    {"datagram", send_datagram, 2, 6},    {"called", accept_bind, 2, 6},         {"answered", accept_caller, 2, 6}};

/* Clears the server cache, so that the server is tried with pipelining again. */
static void clear_cache(void)
{
    struct s5_shm *shm = atomic_load(&s5_begin_engine.shm);
    for (size_t i = 0; i < S5_SERVER_CACHE_ENTRIES; i++)
        atomic_store(&shm->server_cache[i].pipelining, S5_PIPELINING_UNKNOWN);
}

/* Runs the scenario once. Returns true if it made fewer than N calls. */
static bool run_once(int (*run)(void), int n, int error)
{
    failed = NULL;
    fault = error;
    clear_cache();
    int before = open_descriptors();
    left = n;
    alarm(60);
    int result = run();
    left = 0;
    int after = open_descriptors();
    if (after != before)
        FAIL("%d descriptors, not %d, after %s (call %d) failed with %s", after, before, failed ? failed : "nothing", n,
             strerrorname_np(error));
    if (result && !strerrorname_np(result))
        FAIL("error %d after %s failed", result, failed);
    /* The program has no handler that could cause it. */
    if (result == EINTR && run != send_datagram && failed && strcmp(failed, "connect") == 0)
        FAIL("connect() ends with EINTR (call %d)", n);
    if (result && !failed)
        FAIL("%s although no call failed", strerrorname_np(result));
    return !failed;
}

/* Runs before main() of a program that continues with a connection. */
__attribute__((constructor(101))) static void continue_injection(void)
{
    const char *rest = getenv("INJECT_LEFT"), *why = getenv("INJECT_FAULT");
    if (!rest || !why)
        return;
    install_failing_calls();
    fault = atoi(why);
    left = atoi(rest);
    alarm(60);
}

int main(int argc, char **argv)
{
    static const int errors[] = {ENOMEM, EINTR, EMFILE, EIO, EAGAIN, ENOBUFS};
    const char *torture = getenv("TORTURE");
    bool all = torture && strcmp(torture, "all") == 0;
    int cases = 0;
    CHECK(argc == 5);
    if (strcmp(argv[3], "after") == 0)
        return exit_status(check_echo(atoi(argv[4]), 0));
    p = peer_from(argc, argv);
    server = argv[4];
    for (size_t s = 0; s < sizeof(scenarios) / sizeof(*scenarios); s++) {
        if (strcmp(scenarios[s].name, argv[3]) != 0)
            continue;
        size_t faults = all ? scenarios[s].most : scenarios[s].faults;
        scenarios[s].run(); /* allocates what the process keeps */
        install_failing_calls();
        scenarios[s].run();
        for (size_t i = 0; i < faults; i++)
            for (int n = 1; !run_once(scenarios[s].run, n, errors[i]); n++) {
                if (n > 2000)
                    FAIL("the calls do not end: %s", failed);
                cases++;
            }
    }
    CHECK(cases > 0);
    printf("%d\n", cases);
    return 0;
}

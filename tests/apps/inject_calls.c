/* The table of real calls, each entry in turn failing: the N-th call a scenario makes, for N = 1 until
 * it makes fewer, with each of some errors. HOST and PORT are a target that echoes, SCENARIO and
 * SERVER (the address, no other may be dialled) come behind. Linked with the preload object inside,
 * whose table this is. Whatever fails: the scenario ends in time, an error is one that a program can
 * act on, and no descriptor is lost. */
#include "app.h"
#include "engine.h"
#include "pipelining_cache.h"
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
static int left;   /* calls until one fails; below 1: none does (any more) */
static int fault;  /* its errno */
static const char *failed;

static bool due(const char *name)
{
    if (left <= 0 || --left > 0)
        return false;
    failed = name;
    errno = fault;
    return true;
}

#define S5_CALL(ret, name, params, args)                                                           \
    static ret failing_##name params                                                               \
    {                                                                                              \
        return due(#name) ? -1 : true_calls.name args;                                             \
    }
#include "system_calls.def"

/* close() lets the descriptor go whatever it says. */
static int closing(int fd)
{
    bool fails = due("close");
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

/* Without waiting no signal interrupts them, and a fresh socket has room. */
static ssize_t sending(int fd, const void *buf, size_t n, int flags)
{
    bool never = flags & MSG_DONTWAIT && (fault == EINTR || fault == EAGAIN);
    return never ? true_calls.send(fd, buf, n, flags) : failing_send(fd, buf, n, flags);
}

static ssize_t receiving(int fd, void *buf, size_t n, int flags)
{
    bool never = flags & MSG_DONTWAIT && (fault == EINTR || fault == EAGAIN);
    return never ? true_calls.recv(fd, buf, n, flags) : failing_recv(fd, buf, n, flags);
}

/* Memory may be short where a registration is made; changing one needs none. */
static int registering(int ep, int op, int fd, struct epoll_event *event)
{
    return op == EPOLL_CTL_ADD ? failing_epoll_ctl(ep, op, fd, event)
                               : true_calls.epoll_ctl(ep, op, fd, event);
}

/* None but the server is dialled. An attempt that a signal interrupts goes on. */
static int dialling(int fd, const struct sockaddr *addr, socklen_t len)
{
    char text[INET_ADDRSTRLEN] = "";
    if (addr->sa_family == AF_UNSPEC) /* nothing in it can fail */
        return true_calls.connect(fd, addr, len);
    if (addr->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)addr)->sin_addr, text, sizeof(text));
        if (strcmp(text, server) != 0)
            FAIL("%s was dialled after %s failed", text, failed);
    }
    if (fault != EINTR)
        return failing_connect(fd, addr, len);
    if (so_type(fd) != SOCK_STREAM || true_calls.fcntl(fd, F_GETFL, 0) & O_NONBLOCK)
        return true_calls.connect(fd, addr, len); /* no signal interrupts these */
    bool fails = due("connect");
    int r = true_calls.connect(fd, addr, len);
    if (fails)
        errno = EINTR;
    return fails ? -1 : r;
}

/* The resolver's two return what they have to say. */
static int looking_up(const char *node, const char *service, const struct addrinfo *hints,
                      struct addrinfo **ret)
{
    return due("getaddrinfo") ? EAI_MEMORY : true_calls.getaddrinfo(node, service, hints, ret);
}

static int naming(const struct sockaddr *addr, socklen_t len, char *host, socklen_t hostlen,
                  char *serv, socklen_t servlen, int flags)
{
    if (due("getnameinfo"))
        return EAI_MEMORY;
    return true_calls.getnameinfo(addr, len, host, hostlen, serv, servlen, flags);
}

static void take_over(void)
{
#define S5_CALL(ret, name, params, args)                                                           \
    true_calls.name = (ret(*) params)s5_real_find(#name);                                          \
    if (true_calls.name)                                                                           \
        s5_real.name = failing_##name;
#include "system_calls.def"
    s5_real.close = closing;
    s5_real.epoll_ctl = registering;
    s5_real.send = sending;
    s5_real.recv = receiving;
    s5_real.connect = dialling;
    s5_real.getaddrinfo = looking_up;
    s5_real.getnameinfo = naming;
}

/* The same where nothing is to be given back. */
#define STEP_INTO(call)                                                                            \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            return errno;                                                                          \
    } while (0)

static int blocking(void)
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

static int polled(void)
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

static int by_epoll(void)
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

static int called(void)
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

/* Whom a caller in the target's place is told of, and who then connects to it. */
static int answered(void)
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
        FAIL("nobody calls");
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

static int names(void)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
    char port[8], text[64];
    int error = 0, fd = tcp_socket(&p, 0);
    snprintf(port, sizeof(port), "%d", ntohs(((struct sockaddr_in *)&p.addr)->sin_port));
    int r = getaddrinfo("both.example", port, &hints, &list);
    if (r == 0)
        r = getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0, 0);
    if (r == 0 && strcmp(text, "both.example") != 0 && !failed)
        FAIL("both.example is called %s", text);
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

/* Octets there and back on FD, in the way number HOW. */
static int passes(int fd, int how)
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
        FAIL("other octets came back after %s failed", failed);
    return 0;
}

static int datagram(void)
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
        FAIL("from another after %s failed", failed);
    STEP(connect(fd, peer_addr(&p), p.len));
    STEP(getpeername(fd, (struct sockaddr *)&from, &len));
    STEP(getsockname(fd, (struct sockaddr *)&from, &len));
    for (int how = 0; how < 4 && !error; how++)
        error = passes(fd, how);
end:
    left = 0;
    close(fd);
    return error;
}

/* A connection that has begun, and waits like any other from here on. */
static int begun(void)
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

static int octets(void)
{
    int error = 0;
    for (int how = 0; how < 4 && !error; how++) {
        int fd = begun();
        error = fd < 0 ? errno : passes(fd, how);
        if (fd >= 0)
            close(fd);
    }
    left = 0;
    return error;
}

static int doubled(void)
{
    int error = 0, last = begun(), other = tcp_socket(&p, 0);
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
    int passed = last < 0 ? 0 : passes(last, 0);
    left = 0;
    if (last >= 0)
        close(last);
    if (last != other)
        close(other);
    return passed ? passed : error;
}

/* What a child came to: its errno, and whether something failed in it. */
static int ended(pid_t pid)
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

static int told(int error)
{
    return error ? error + 2 : failed ? 1 : 0;
}

/* Begun here, finished by a child. */
static int forked(void)
{
    int fd = begun();
    if (fd < 0)
        return errno;
    pid_t pid = fork();
    if (pid == 0)
        _exit(told(passes(fd, 1)));
    int error = ended(pid);
    left = 0;
    close(fd);
    return error;
}

/* Connected or begun here, finished by another program, which has this many calls left, too. */
static int handed(int fd, bool spawns)
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
        _exit(told(errno));
    }
    unsetenv("INJECT_LEFT");
    error = error ? error : ended(pid);
    left = 0;
    close(fd);
    return error;
}

static int executed(void)
{
    return handed(begun(), false);
}

static int spawned(void)
{
    int fd = tcp_socket(&p, 0);
    if (connect(fd, peer_addr(&p), p.len) == 0)
        return handed(fd, true);
    int error = errno;
    close(fd);
    return error;
}

/* FAULTS: with how many errnos each call fails. tests/unit/test_injection.c has all of them for what needs
 * one process alone. An exec costs too much to be repeated. */
static const struct {
    const char *name;
    int (*run)(void);
    size_t faults, most;
} scenarios[] = {{"names", names, 6, 6},       {"octets", octets, 6, 6},
                 {"doubled", doubled, 6, 6},   {"forked", forked, 6, 6},
                 {"executed", executed, 1, 1}, {"spawned", spawned, 1, 1},
                 {"blocking", blocking, 2, 6}, {"poll", polled, 2, 6},
                 {"epoll", by_epoll, 2, 6},    {"datagram", datagram, 2, 6},
                 {"called", called, 2, 6},     {"answered", answered, 2, 6}};

/* What was learnt of the server is forgotten, so that it is tried in one flight again. */
static void forget(void)
{
    struct s5_shm *tree = atomic_load(&s5_begin_engine.shm);
    for (size_t i = 0; i < S5_PIPELINING_CACHE_ENTRIES; i++)
        atomic_store(&tree->pipelining_cache[i].value, S5_PIPELINING_UNKNOWN);
}

/* Whether the scenario ran through before the N-th call. */
static bool one(int (*run)(void), int n, int error)
{
    failed = NULL;
    fault = error;
    forget();
    int before = open_descriptors();
    left = n;
    alarm(60);
    int result = run();
    left = 0;
    int after = open_descriptors();
    if (after != before)
        FAIL("%d descriptors, not %d, after %s (call %d) failed with %s", after, before,
             failed ? failed : "nothing", n, strerrorname_np(error));
    if (result && !strerrorname_np(result))
        FAIL("error %d after %s failed", result, failed);
    /* No handler is there that could ask for it. */
    if (result == EINTR && run != datagram && failed && strcmp(failed, "connect") == 0)
        FAIL("connect() ends with EINTR (call %d)", n);
    if (result && !failed)
        FAIL("%s though nothing failed", strerrorname_np(result));
    return !failed;
}

/* Before the beginning of a program that goes on with a connection. */
__attribute__((constructor(101))) static void go_on(void)
{
    const char *rest = getenv("INJECT_LEFT"), *why = getenv("INJECT_FAULT");
    if (!rest || !why)
        return;
    take_over();
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
        return told(passes(atoi(argv[4]), 0));
    p = peer_from(argc, argv);
    server = argv[4];
    for (size_t s = 0; s < sizeof(scenarios) / sizeof(*scenarios); s++) {
        if (strcmp(scenarios[s].name, argv[3]) != 0)
            continue;
        size_t faults = all ? scenarios[s].most : scenarios[s].faults;
        scenarios[s].run(); /* what the process keeps of its first */
        take_over();
        scenarios[s].run();
        for (size_t i = 0; i < faults; i++)
            for (int n = 1; !one(scenarios[s].run, n, errors[i]); n++) {
                if (n > 2000)
                    FAIL("no end: %s", failed);
                cases++;
            }
    }
    CHECK(cases > 0);
    printf("%d\n", cases);
    return 0;
}

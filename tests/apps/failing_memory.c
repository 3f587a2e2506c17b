/* Memory that cannot be had: of all allocations and mappings of this process, whoever makes them, the
 * one with the number FAIL_AT fails (with FAIL_ON=1 all from there on) until the scenario is over. The
 * first attempt comes to something good or to an error that says so; the next one succeeds, and as
 * many descriptors are open as FAIL_OPEN says (not set: any number, which is told). Ends with 77
 * where nothing failed. From libconfuse's first allocation on, mappings alone are counted: it ends
 * the process where there is no memory.
 *
 * The program's own functions go ahead of libc's. With the hooks inside, they are what the linker
 * puts in their calls' place (WRAPPED). */
#include "app.h"
#include <dlfcn.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>

#define UNTOUCHED 77

static int left = -1; /* allocations until one fails; 0: none does; -1: not known yet */
static bool lasting, touched, spared;

static bool due(void)
{
    if (left < 0) {
        const char *at = getenv("FAIL_AT");
        lasting = getenv("FAIL_ON") != NULL;
        left = at ? atoi(at) : 0;
    }
    if (left == 0)
        return false;
    if (left > 1) {
        left--;
        return false;
    }
    left = lasting ? 1 : 0;
    touched = true;
    errno = ENOMEM;
    return true;
}

static bool due_for(void *caller)
{
    Dl_info info;
    spared = spared || (left > 0 && caller && dladdr(caller, &info) && info.dli_fname &&
                        strstr(info.dli_fname, "libconfuse"));
    return !spared && due();
}

#define DUE due_for(__builtin_return_address(0))

#ifdef WRAPPED
#define OURS(name) __wrap_##name
#define REAL(name) __real_##name
#else
#define OURS(name) name
#define REAL(name) __libc_##name
#endif

void *REAL(malloc)(size_t n);
void *REAL(calloc)(size_t n, size_t size);
void *REAL(realloc)(void *p, size_t n);
void *OURS(malloc)(size_t n);
void *OURS(calloc)(size_t n, size_t size);
void *OURS(realloc)(void *p, size_t n);
void *OURS(mmap)(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *OURS(mmap64)(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int OURS(memfd_create)(const char *name, unsigned flags);

void *OURS(malloc)(size_t n)
{
    return DUE ? NULL : REAL(malloc)(n);
}

void *OURS(calloc)(size_t n, size_t size)
{
    return DUE ? NULL : REAL(calloc)(n, size);
}

void *OURS(realloc)(void *p, size_t n)
{
    return DUE ? NULL : REAL(realloc)(p, n);
}

#ifdef WRAPPED
char *__real_strndup(const char *text, size_t n);
char *__wrap_strndup(const char *text, size_t n);
char *__wrap_strndup(const char *text, size_t n)
{
    return due() ? NULL : __real_strndup(text, n);
}
#endif

static void *next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

void *OURS(mmap)(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (!real)
        *(void **)&real = next("mmap");
    return due() ? MAP_FAILED : real(at, n, protection, flags, fd, offset);
}

void *OURS(mmap64)(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    return OURS(mmap)(at, n, protection, flags, fd, offset);
}

int OURS(memfd_create)(const char *name, unsigned flags)
{
    static int (*real)(const char *, unsigned);
    if (!real)
        *(void **)&real = next("memfd_create");
    return due() ? -1 : real(name, flags);
}

/* --- scenarios: 0, an errno, or one of EAI_*, which are negative --- */

static struct peer p;

static int passes(int fd)
{
    char back[4] = "";
    int error = 0;
    STEP(send(fd, "mine", 4, MSG_NOSIGNAL));
    STEP(recv(fd, back, 4, MSG_WAITALL));
    if (memcmp(back, "mine", 4) != 0)
        FAIL("other octets came back");
end:
    return error;
}

static int blocking(void)
{
    int error = 0, fd = tcp_socket(&p, 0);
    STEP(connect(fd, peer_addr(&p), p.len));
    error = passes(fd);
end:
    close(fd);
    return error;
}

static void waits(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/* Among so many that they do not fit on a stack. */
static int polled(void)
{
    enum { MANY = 700 };
    static struct pollfd fds[MANY];
    socklen_t len = sizeof(int);
    int error = 0, fd = tcp_socket(&p, SOCK_NONBLOCK);
    for (int i = 0; i < MANY; i++)
        fds[i] = (struct pollfd){-1, 0, 0};
    fds[MANY - 1] = (struct pollfd){fd, POLLOUT, 0};
    if (connect(fd, peer_addr(&p), p.len) < 0 && errno != EINPROGRESS)
        STEP(-1);
    STEP(poll(fds, MANY, 20000));
    CHECK(fds[MANY - 1].revents);
    STEP(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    waits(fd);
    error = error ? error : passes(fd);
end:
    close(fd);
    return error;
}

/* Under a high number, in two epoll instances, and in sets too large for a stack. */
static int high(void)
{
    static unsigned long set[3000 / 64 + 1];
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET}, came;
    struct timeval timeout = {20, 0};
    socklen_t len = sizeof(int);
    int error = 0, low = tcp_socket(&p, SOCK_NONBLOCK), fd = fcntl(low, F_DUPFD, 2900);
    int ep = epoll_create1(0), other = epoll_create1(0);
    close(low);
    CHECK(fd >= 2900);
    memset(set, 0, sizeof set);
    set[fd / 64] |= 1ul << fd % 64;
    STEP(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
    STEP(epoll_ctl(other, EPOLL_CTL_ADD, fd, &event));
    if (connect(fd, peer_addr(&p), p.len) < 0 && errno != EINPROGRESS)
        STEP(-1);
    STEP(select(fd + 1, NULL, (fd_set *)(void *)set, NULL, &timeout));
    CHECK(epoll_wait(ep, &came, 1, 20000) == 1);
    STEP(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    waits(fd);
    error = error ? error : passes(fd);
end:
    close(ep);
    close(other);
    close(fd);
    return error;
}

/* A look-up by every function, and a connection to what came of it. */
static int names(void)
{
    char port[8], room[512];
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME};
    struct addrinfo *list = NULL;
    struct gaicb asked = {.ar_name = "both.example", .ar_request = &hints}, *all = &asked;
    struct hostent he, *found;
    int error, herr, fd = tcp_socket(&p, 0);
    snprintf(port, sizeof port, "%d", ntohs(((struct sockaddr_in *)&p.addr)->sin_port));
    error = getaddrinfo_a(GAI_WAIT, &all, 1, NULL);
    if (error == 0 && (error = gai_error(&asked)) == 0)
        freeaddrinfo(asked.ar_result);
    if (error == 0)
        error = gethostbyname_r("both.example", &he, room, sizeof room, &found, &herr);
    if (error == 0 && !found)
        error = ENOMEM;
    if (error == 0)
        error = getaddrinfo("both.example", port, &hints, &list);
    if (error)
        goto end;
    STEP(connect(fd, list->ai_addr, list->ai_addrlen));
    error = passes(fd);
end:
    if (list)
        freeaddrinfo(list);
    close(fd);
    return error;
}

/* What a resolver of the program's own sends: a question for both.example, to port 53. */
static int question(void)
{
    static const char asked[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\4both\7example\0\0\1\0\1";
    char answer[512];
    struct sockaddr_in to = *(struct sockaddr_in *)&p.addr;
    int error = 0, fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval timeout = {10, 0};
    to.sin_port = htons(53);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    STEP(sendto(fd, asked, sizeof asked - 1, 0, (struct sockaddr *)&to, sizeof to));
    STEP(recvfrom(fd, answer, sizeof answer, 0, NULL, NULL));
    CHECK(memcmp(answer, asked, 2) == 0 && answer[2] & 0x80);
end:
    close(fd);
    return error;
}

static int datagram(void)
{
    char back[4] = "";
    struct timeval timeout = {10, 0};
    int error = 0, fd = socket(AF_INET, SOCK_DGRAM, 0);
    STEP(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout));
    STEP(sendto(fd, "mine", 4, 0, peer_addr(&p), p.len));
    STEP(recvfrom(fd, back, 4, 0, NULL, NULL));
    CHECK(memcmp(back, "mine", 4) == 0);
end:
    close(fd);
    return error;
}

static int called(void)
{
    struct sockaddr_in own = {.sin_family = AF_INET};
    struct pollfd pfd = {.events = POLLIN};
    socklen_t len = sizeof own;
    int error = 0, fd = tcp_socket(&p, SOCK_NONBLOCK);
    pfd.fd = fd;
    inet_pton(AF_INET, "10.88.1.1", &own.sin_addr);
    STEP(bind(fd, (struct sockaddr *)&own, sizeof own));
    STEP(listen(fd, 5));
    STEP(getsockname(fd, (struct sockaddr *)&own, &len));
    STEP(poll(&pfd, 1, 0));
    if (accept(fd, NULL, NULL) < 0 && errno != EAGAIN)
        STEP(-1);
end:
    close(fd);
    return error;
}

static const struct {
    const char *name;
    int (*run)(void);
} scenarios[] = {{"blocking", blocking}, {"polled", polled},     {"high", high},    {"names", names},
                 {"question", question}, {"datagram", datagram}, {"called", called}};

/* Errors that a program in want of memory can make sense of. */
static bool tells_of_memory(int error)
{
    return error == 0 || error == ENOMEM || error == ENOBUFS || error == EAI_MEMORY;
}

/* An address space that has ROOM octets left, which is what is short in earnest: for the first attempt
 * of a process of its own, and then no more. */
static void scarce_by(size_t room)
{
    struct rlimit before, limit;
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    CHECK(getrlimit(RLIMIT_AS, &before) == 0);
    limit = before;
    limit.rlim_cur = pages * 4096 + room;
    alarm(60);
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    int first = blocking();
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    if (!tells_of_memory(first))
        FAIL("%s with %zu octets left", strerror(first), room);
    CHECK(blocking() == 0);
}

static int scarce(void)
{
    for (size_t room = 0; room < 12u << 20; room += 60000) {
        pid_t pid = fork();
        if (pid == 0) {
            scarce_by(room);
            exit(0);
        }
        child_ends(pid);
    }
    return 0;
}

int main(int argc, char **argv)
{
    int (*run)(void) = NULL, first;
    CHECK(argc == 4);
    p = peer_from(argc, argv);
    if (strcmp(argv[3], "scarce") == 0)
        return scarce();
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(scenarios[i].name, argv[3]) == 0)
            run = scenarios[i].run;
    CHECK(run);
    struct rlimit files = {4096, 4096};
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    alarm(60);
    first = run();
    left = 0;
    const char *many = getenv("FAIL_OPEN");
    if (!tells_of_memory(first))
        FAIL("%s: %d (%s)", argv[3], first, first < 0 ? gai_strerror(first) : strerror(first));
    if (first && !touched)
        FAIL("%s: %d though nothing failed", argv[3], first);
    for (int again = 0; again < 2; again++) {
        int next_one = run();
        if (next_one)
            FAIL("%s: %d once there is memory again (%d at first)", argv[3], next_one, first);
    }
    if (many && open_descriptors() > atoi(many))
        FAIL("%s: %d descriptors, not %s", argv[3], open_descriptors(), many);
    if (!many)
        printf("%d\n", open_descriptors());
    return touched ? 0 : UNTOUCHED;
}

/* Failing allocations. All allocations and mappings of this process are counted, in the program and in its
 * libraries. The one with the number FAIL_AT fails; with FAIL_ON=1 all later ones fail too, until the scenario is
 * over. The first attempt must succeed, or fail with an error that reports a lack of memory. The next one must
 * succeed, and then at most FAIL_OPEN descriptors may be open (if it is not set, their number is printed). The
 * exit status is 77 if nothing failed. From libconfuse's first allocation on, only mappings are counted, because
 * libconfuse ends the process when memory is exhausted.
 *
 * The program's own functions take precedence over libc's. When the hooks are linked in, these are the functions
 * that the linker substitutes in their calls (WRAPPED). */
#include "app.h"
#include <dlfcn.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>

#define UNTOUCHED 77

static int left = -1; /* allocations until one fails; 0: none fails; -1: not yet read */
static bool lasting, touched, spared;

static bool is_due(void)
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

static bool is_due_for(void *caller)
{
    Dl_info info;
    spared = spared || (left > 0 && caller && dladdr(caller, &info) && info.dli_fname &&
                        strstr(info.dli_fname, "libconfuse"));
    return !spared && is_due();
}

#define FAILS_NOW is_due_for(__builtin_return_address(0))

#ifdef WRAPPED
#define OWN_NAME(name) __wrap_##name
#define REAL(name) __real_##name
#else
#define OWN_NAME(name) name
#define REAL(name) __libc_##name
#endif

void *REAL(malloc)(size_t n);
void *REAL(calloc)(size_t n, size_t size);
void *REAL(realloc)(void *p, size_t n);
void *OWN_NAME(malloc)(size_t n);
void *OWN_NAME(calloc)(size_t n, size_t size);
void *OWN_NAME(realloc)(void *p, size_t n);
void *OWN_NAME(mmap)(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *OWN_NAME(mmap64)(void *at, size_t n, int protection, int flags, int fd, off_t offset);
int OWN_NAME(memfd_create)(const char *name, unsigned flags);

void *OWN_NAME(malloc)(size_t n)
{
    return FAILS_NOW ? NULL : REAL(malloc)(n);
}

void *OWN_NAME(calloc)(size_t n, size_t size)
{
    return FAILS_NOW ? NULL : REAL(calloc)(n, size);
}

void *OWN_NAME(realloc)(void *p, size_t n)
{
    return FAILS_NOW ? NULL : REAL(realloc)(p, n);
}

#ifdef WRAPPED
char *__real_strndup(const char *text, size_t n);
char *__wrap_strndup(const char *text, size_t n);
char *__wrap_strndup(const char *text, size_t n)
{
    return is_due() ? NULL : __real_strndup(text, n);
}
#endif

static void *find_next(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

void *OWN_NAME(mmap)(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (!real)
        *(void **)&real = find_next("mmap");
    return is_due() ? MAP_FAILED : real(at, n, protection, flags, fd, offset);
}

void *OWN_NAME(mmap64)(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    return OWN_NAME(mmap)(at, n, protection, flags, fd, offset);
}

int OWN_NAME(memfd_create)(const char *name, unsigned flags)
{
    static int (*real)(const char *, unsigned);
    if (!real)
        *(void **)&real = find_next("memfd_create");
    return is_due() ? -1 : real(name, flags);
}

/* --- scenarios: they return 0, an errno, or one of EAI_*, which are negative --- */

static struct peer p;

static int check_echo(int fd)
{
    char back[4] = "";
    int error = 0;
    STEP(send(fd, "mine", 4, MSG_NOSIGNAL));
    STEP(recv(fd, back, 4, MSG_WAITALL));
    if (memcmp(back, "mine", 4) != 0)
        FAIL("the echo differs");
end:
    return error;
}

static int connect_blocking(void)
{
    int error = 0, fd = tcp_socket(&p, 0);
    STEP(connect(fd, peer_addr(&p), p.len));
    error = check_echo(fd);
end:
    close(fd);
    return error;
}

static void make_blocking(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

/* Polls among so many descriptors that the copy does not fit on a stack. */
static int connect_poll(void)
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
    make_blocking(fd);
    error = error ? error : check_echo(fd);
end:
    close(fd);
    return error;
}

/* Uses a high descriptor number, two epoll instances, and sets too large for a stack. */
static int connect_high_fd(void)
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
    make_blocking(fd);
    error = error ? error : check_echo(fd);
end:
    close(ep);
    close(other);
    close(fd);
    return error;
}

/* Looks up a name by every function and connects to the result. */
static int look_up_names(void)
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
    error = check_echo(fd);
end:
    if (list)
        freeaddrinfo(list);
    close(fd);
    return error;
}

/* Sends the query of a resolver of the program's own: both.example, to port 53. */
static int send_query(void)
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

static int send_datagram(void)
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

static int accept_bind(void)
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
} scenarios[] = {{"blocking", connect_blocking}, {"polled", connect_poll},    {"high", connect_high_fd},
                 {"names", look_up_names},       {"question", send_query},    {"datagram", send_datagram},
                 {"called", accept_bind}};

/* True if ERROR is one that a program can attribute to a shortage of memory. */
static bool is_memory_error(int error)
{
    return error == 0 || error == ENOMEM || error == ENOBUFS || error == EAI_MEMORY;
}

/* Limits the address space to ROOM octets more than are in use, so that memory is really short, for the first
 * attempt of a process. The limit is removed afterwards. */
static void limit_memory(size_t room)
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
    int first = connect_blocking();
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    if (!is_memory_error(first))
        FAIL("%s with %zu octets left", strerror(first), room);
    CHECK(connect_blocking() == 0);
}

static int run_with_limits(void)
{
    for (size_t room = 0; room < 12u << 20; room += 60000) {
        pid_t pid = fork();
        if (pid == 0) {
            limit_memory(room);
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
        return run_with_limits();
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
    if (!is_memory_error(first))
        FAIL("%s: %d (%s)", argv[3], first, first < 0 ? gai_strerror(first) : strerror(first));
    if (first && !touched)
        FAIL("%s: %d although no allocation failed", argv[3], first);
    for (int again = 0; again < 2; again++) {
        int next_one = run();
        if (next_one)
            FAIL("%s: %d after memory is available again (%d at first)", argv[3], next_one, first);
    }
    if (many && open_descriptors() > atoi(many))
        FAIL("%s: %d descriptors, not %s", argv[3], open_descriptors(), many);
    if (!many)
        printf("%d\n", open_descriptors());
    return touched ? 0 : UNTOUCHED;
}

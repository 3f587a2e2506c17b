/* A program sets FD_CLOEXEC on every descriptor, in every possible way, and starts another program. A fake
 * address that the first one got for a name must mean that name in the second one, whatever names the second one
 * looks up itself. With a fourth argument the descriptors are closed without any hook noticing. Then the fake
 * address must be refused. */
#include "app.h"
#include <dlfcn.h>
#include <linux/close_range.h>
#include <netdb.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

extern char **environ;

enum { FDS = 1024 };
enum way { ONE_BY_ONE, ASKED_FIRST, IOCTL, RANGE, SYSTEM_CALL, BEHIND, WAYS };
enum start { EXEC, FORKED, SPAWNED, SHELL, STARTS };

/* Looks up NAME. Returns false if it has no IPv4 address. */
static bool look_up(const char *name, const char *port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
    if (getaddrinfo(name, port, &hints, &list) != 0)
        return false;
    memcpy(ret, list->ai_addr, list->ai_addrlen);
    *ret_len = list->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

/* The C library's own function, not the hook. */
union function {
    void *object;
    int (*set)(int fd, int command, ...);
    int (*close)(int fd);
};

static union function libc_function(const char *name)
{
    union function found = {dlsym(dlopen("libc.so.6", RTLD_NOW), name)};
    CHECK(found.object);
    return found;
}

static void set_cloexec(enum way way)
{
    union function real = libc_function("fcntl");
    if (way == RANGE) {
        CHECK(close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0);
        return;
    }
    for (int fd = 3; fd < FDS; fd++)
        if (way == ONE_BY_ONE)
            (void)!fcntl(fd, F_SETFD, FD_CLOEXEC);
        else if (way == ASKED_FIRST) {
            int flags = fcntl(fd, F_GETFD);
            if (flags == -1)
                continue;
            CHECK(fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0);
            CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
        } else if (way == IOCTL)
            (void)!ioctl(fd, FIOCLEX);
        else if (way == SYSTEM_CALL)
            syscall(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
        else
            real.set(fd, F_SETFD, FD_CLOEXEC);
}

static void close_unhooked(void)
{
    union function real = libc_function("close");
    for (int fd = 3; fd < FDS; fd++)
        real.close(fd);
}

static void start(enum start start, char **args)
{
    char command[1024];
    pid_t pid;
    switch (start) {
    case EXEC:
        execv("/proc/self/exe", args);
        FAIL("exec");
    case FORKED:
        if ((pid = fork()) == 0) {
            execv("/proc/self/exe", args);
            FAIL("exec");
        }
        child_ends(pid);
        return;
    case SPAWNED:
        errno = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ);
        CHECK(errno == 0);
        child_ends(pid);
        return;
    default:
        snprintf(command, sizeof(command), "%s %s %s %s %s %s", args[0], args[1], args[2], args[3], args[4],
                 args[5]);
        CHECK(system(command) == 0);
    }
}

/* The part of the program that was started. */
static void run_started(char **argv)
{
    struct peer p = peer_of(argv[5], argv[3]);
    struct sockaddr_storage other;
    socklen_t len;
    look_up(argv[2], argv[3], &other, &len);
    int fd = tcp_socket(&p, 0), r = connect(fd, peer_addr(&p), p.len);
    if (strcmp(argv[4], "lost") == 0) {
        CHECK(r == -1 && errno == EHOSTUNREACH);
        CHECK(look_up(argv[1], argv[3], &p.addr, &p.len)); /* a new pool assigns names again */
        fd = tcp_socket(&p, 0);
        r = connect(fd, peer_addr(&p), p.len);
    }
    CHECK(r == 0);
    echo(fd, "the name it was");
}

int main(int argc, char **argv)
{
    char address[64];
    struct sockaddr_storage addr;
    socklen_t len;
    CHECK(argc > 3);
    if (argc > 5) {
        run_started(argv);
        return 0;
    }
    bool closes = argc > 4;
    CHECK(look_up(argv[1], argv[3], &addr, &len));
    CHECK(inet_ntop(AF_INET, &((struct sockaddr_in *)&addr)->sin_addr, address, sizeof(address)));
    char *args[] = {argv[0], argv[1], argv[2], argv[3], (char *)(closes ? "lost" : "kept"), address, NULL};
    for (int i = closes ? WAYS - 1 : 0; i < WAYS; i++)
        for (enum start s = EXEC; s < STARTS; s++) {
            pid_t pid = fork();
            if (pid == 0) {
                if (closes)
                    close_unhooked();
                else
                    set_cloexec((enum way)i);
                start(s, args);
                exit(0);
            }
            child_ends(pid);
        }
    return 0;
}

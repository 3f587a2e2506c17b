/* libc exports some functions under a second name or in an older version. These must behave like the usual ones:
 * they carry a connection, and children started by them in an empty environment connect. */
#include "app.h"
#include <spawn.h>
#include <sys/select.h>

/* The headers of libc do not declare these. */
int __connect(int fd, const struct sockaddr *addr, socklen_t len);
ssize_t __send(int fd, const void *buf, size_t n, int flags);
ssize_t __write(int fd, const void *buf, size_t n);
ssize_t __read(int fd, void *buf, size_t n);
int __close(int fd);
int __dup2(int fd, int to);
int __fcntl(int fd, int command, ...);
int __poll(struct pollfd *fds, nfds_t n, int timeout);
int __select(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *timeout);
int _IO_fclose(FILE *stream);
FILE *_IO_popen(const char *command, const char *mode);
FILE *_IO_proc_open(FILE *stream, const char *command, const char *mode);
int _IO_proc_close(FILE *stream);

/* posix_spawn() as used by programs that were linked before glibc 2.15. */
typedef int spawn_fn(pid_t *pid, const char *program, const posix_spawn_file_actions_t *actions,
                     const posix_spawnattr_t *attr, char *const argv[], char *const envp[]);
#if defined(__x86_64__) && defined(__LP64__)
#define OLD "GLIBC_2.2.5"
#elif defined(__i386__)
#define OLD "GLIBC_2.2"
#elif defined(__arm__)
#define OLD "GLIBC_2.4"
#endif
#ifdef OLD /* other architectures were added to glibc later */
spawn_fn old_spawn, old_spawnp;
__asm__(".symver old_spawn, posix_spawn@" OLD);
__asm__(".symver old_spawnp, posix_spawnp@" OLD);
#else
#define old_spawn  posix_spawn
#define old_spawnp posix_spawnp
#endif

static void wait_writable(int fd)
{
    fd_set out;
    struct timeval limit = {20, 0};
    FD_ZERO(&out);
    FD_SET(fd, &out);
    CHECK(__select(fd + 1, NULL, &out, NULL, &limit) == 1 && FD_ISSET(fd, &out));
}

static void check_echo(int fd, const char *text, ssize_t said)
{
    char back[16] = "";
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK(said == (ssize_t)strlen(text));
    CHECK(__poll(&p, 1, 20000) == 1);
    CHECK(__read(fd, back, sizeof back) == said && strcmp(back, text) == 0);
}

static void check_connection(const struct peer *p)
{
    int fd = tcp_socket(p, 0), to = 60;
    CHECK(__fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    CHECK(__connect(fd, peer_addr(p), p->len) == -1 && errno == EINPROGRESS);
    wait_writable(fd);
    CHECK(so_error(fd) == 0);
    CHECK(__dup2(fd, to) == to && __close(fd) == 0);
    check_names(to, p);
    check_echo(to, "sent", __send(to, "sent", 4, 0));
    check_echo(to, "written", __write(to, "written", 7));
    CHECK(__dup2(to, fd) == fd);
    FILE *stream = fdopen(to, "r");
    CHECK(stream && _IO_fclose(stream) == 0);
    CHECK(__dup2(tcp_socket(p, 0), to) == to);
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    CHECK(getpeername(to, (struct sockaddr *)&peer, &len) == -1 && errno == ENOTCONN);
    check_names(fd, p);
}

static void says_connected(FILE *child)
{
    char said[16] = "";
    CHECK(child && fgets(said, sizeof said, child) && strcmp(said, "connected\n") == 0);
}

static void check_shells(const char *host, const char *port)
{
    char command[4200], exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    CHECK(n > 0);
    exe[n] = 0;
    snprintf(command, sizeof command, "%s %s %s child", exe, host, port);
    CHECK(clearenv() == 0);
    FILE *child = _IO_popen(command, "r");
    says_connected(child);
    CHECK(_IO_proc_close(child) == 0);
    CHECK(clearenv() == 0);
    child->_fileno = -1; /* as before it was opened */
    CHECK(_IO_proc_open(child, command, "r") == child);
    clearerr(child);
    says_connected(child);
    CHECK(pclose(child) == 0);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    char *none[] = {NULL};
    pid_t pid;
    if (argc > 3) {
        echo(tcp_connect(&p), "started");
        puts("connected");
        return 0;
    }
    char *self[] = {argv[0], argv[1], argv[2], (char *)"child", NULL};
    check_connection(&p);
    CHECK(old_spawn(&pid, "/proc/self/exe", NULL, NULL, self, none) == 0);
    child_ends(pid);
    CHECK(setenv("PATH", "/proc/self", 1) == 0);
    CHECK(old_spawnp(&pid, "exe", NULL, NULL, self, none) == 0);
    child_ends(pid);
    check_shells(argv[1], argv[2]);
    return 0;
}

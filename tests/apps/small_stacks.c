/* Prints for each call, one a line, how many octets of the stack it uses. The caller compares a bare program's
 * figures. */
#include "app.h"
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <ucontext.h>

#define SIZE   (256 * 1024)
#define BATCH  20

extern char **environ;
static struct peer there;
static int stream_fd, udp_fd, ep;
static char room[BATCH][16];
static struct iovec parts[BATCH];
static struct mmsghdr batch[BATCH];

static void call_connect(void)
{
    int fd = socket(there.family, SOCK_STREAM, 0);
    CHECK(connect(fd, peer_addr(&there), there.len) == 0);
    CHECK(close(fd) == 0);
}
static void call_connect_epoll(void)
{
    struct epoll_event e = {.events = EPOLLOUT};
    int fd = socket(there.family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(connect(fd, peer_addr(&there), there.len) == -1 && errno == EINPROGRESS);
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 && epoll_wait(ep, &e, 1, 20000) == 1);
    close(fd);
}
static void call_poll(void)
{
    int fd = socket(there.family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(connect(fd, peer_addr(&there), there.len) == -1 && errno == EINPROGRESS);
    wait_for(fd, POLLOUT);
    close(fd);
}
static void call_select(void)
{
    fd_set set;
    int fd = socket(there.family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(connect(fd, peer_addr(&there), there.len) == -1 && errno == EINPROGRESS);
    FD_ZERO(&set);
    FD_SET(fd, &set);
    CHECK(select(fd + 1, NULL, &set, NULL, NULL) == 1);
    close(fd);
}
static void call_names(void)
{
    struct sockaddr_in6 a;
    socklen_t len = sizeof a;
    CHECK(getpeername(stream_fd, (struct sockaddr *)&a, &len) == 0);
    CHECK(getsockname(stream_fd, (struct sockaddr *)&a, &len) == 0);
}
static void call_sendto(void)
{
    CHECK(sendto(udp_fd, "x", 1, 0, peer_addr(&there), there.len) == 1);
}
static void call_recv(void)
{
    char octet;
    call_sendto();
    CHECK(recv(udp_fd, &octet, 1, 0) == 1);
}
static void call_sendmmsg(void)
{
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){room[i], 8};
        batch[i].msg_hdr = (struct msghdr){
            .msg_name = &there.addr, .msg_namelen = there.len, .msg_iov = &parts[i], .msg_iovlen = 1};
    }
    CHECK(sendmmsg(udp_fd, batch, BATCH, 0) == BATCH);
}
static void call_recvmmsg(void)
{
    call_sendmmsg();
    wait_for(udp_fd, POLLIN);
    CHECK(recvmmsg(udp_fd, batch, BATCH, MSG_WAITFORONE, NULL) > 0);
}
static char absent[] = "/nonexistent/program";
static char *arguments[] = {absent, NULL};
static void call_execve(void)
{
    CHECK(execve(absent, arguments, environ) == -1 && errno == ENOENT);
}
static void call_execvp(void)
{
    CHECK(execvp("there-is-no-such-program", arguments) == -1 && errno == ENOENT);
}
static void call_execl(void)
{
    CHECK(execl("/etc/passwd", "passwd", (char *)NULL) == -1 && errno == EACCES);
}
static void call_spawn(void)
{
    pid_t pid;
    char program[] = "/bin/true";
    char *words[] = {program, NULL};
    CHECK(posix_spawn(&pid, program, NULL, NULL, words, environ) == 0);
    child_ends(pid);
}
static void call_dup2(void)
{
    CHECK(dup2(stream_fd, 100) == 100 && close(100) == 0);
}

static void (*running)(void);
static ucontext_t home, away;

static void run_call(void)
{
    running();
}

static size_t measure_stack(void (*call)(void))
{
    unsigned char *stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t untouched = 0;
    CHECK(stack != MAP_FAILED);
    memset(stack, 0xa5, SIZE);
    running = call;
    CHECK(getcontext(&away) == 0);
    away.uc_stack.ss_sp = stack;
    away.uc_stack.ss_size = SIZE;
    away.uc_link = &home;
    makecontext(&away, run_call, 0);
    CHECK(swapcontext(&home, &away) == 0);
    while (untouched < SIZE && stack[untouched] == 0xa5)
        untouched++;
    munmap(stack, SIZE);
    return SIZE - untouched;
}

#define CASE(name) {#name, call_##name}
static const struct {
    const char *name;
    void (*call)(void);
} cases[] = {CASE(connect), CASE(connect_epoll), CASE(poll), CASE(select), CASE(names), CASE(sendto), CASE(recv),
             CASE(sendmmsg), CASE(recvmmsg), CASE(execve), CASE(execvp), CASE(execl), CASE(spawn), CASE(dup2)};

int main(int argc, char **argv)
{
    there = peer_from(argc, argv);
    stream_fd = tcp_connect(&there);
    udp_fd = socket(there.family, SOCK_DGRAM, 0);
    ep = epoll_create1(0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cases[i].call(); /* the first call resolves symbols and reads the configuration */
        printf("%s %zu\n", cases[i].name, measure_stack(cases[i].call));
    }
    return 0;
}

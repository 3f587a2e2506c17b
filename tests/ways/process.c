/* Ways by processes: children that the object does not know of, and sockets that come from another
 * process. */
#include "way.h"
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/un.h>
#include <sys/user.h>

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static void send_here(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    sendto(fd, TEXT, 0, V4);
}

static void connect_here(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(fd, V4);
}

static _Noreturn void reap_and_end(const char *call, long child)
{
    if (child > 0)
        waitpid((pid_t)child, NULL, __WALL);
    way_end(call, child > 0 ? 0 : EPERM);
}

static void fork_sendto(void)
{
    pid_t child = fork();
    if (child == 0) {
        send_here();
        connect_here();
        _exit(0);
    }
    reap_and_end("fork", child);
}

static void vfork_sendto(void)
{
    pid_t child = vfork();
    if (child == 0) {
        send_here();
        _exit(0);
    }
    reap_and_end("vfork", child);
}

static void vfork_connect(void)
{
    pid_t child = vfork();
    if (child == 0) {
        connect_here();
        _exit(0);
    }
    reap_and_end("vfork", child);
}

/* fork() without the functions that libc runs before and after it. */
static void clone_syscall(void)
{
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        send_here();
        connect_here();
        _exit(0);
    }
    reap_and_end("clone", child);
}

static void clone_instruction(void)
{
    long child = WAY_CALL(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
    if (child == 0) {
        send_here();
        connect_here();
        _exit(0);
    }
    reap_and_end("clone", child);
}

static void clone3_instruction(void)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    long child = WAY_CALL(SYS_clone3, &arguments, sizeof arguments, 0, 0, 0, 0);
    if (child == 0) {
        send_here();
        connect_here();
        _exit(0);
    }
    reap_and_end("clone3", child);
}

static int send_in_clone(void *unused)
{
    (void)unused;
    send_here();
    return 0;
}

static _Noreturn void clone_with(int flags)
{
    enum { SIZE = 1 << 18 };
    char *stack =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    reap_and_end("clone", clone(send_in_clone, stack + SIZE, flags | SIGCHLD, NULL));
}

/* The child has the parent's memory, and thread variables too. */
static void clone_memory(void)
{
    clone_with(CLONE_VM);
}

static void clone_memory_files(void)
{
    clone_with(CLONE_VM | CLONE_FILES | CLONE_FS);
}

static void clone_files(void)
{
    clone_with(CLONE_FILES);
}

/* --- sockets of another process --- */

static void send_descriptor(int channel, int fd)
{
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {(void *)"s", 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    WAY_CALL(SYS_sendmsg, channel, &message, 0, 0, 0, 0);
}

static int receive_descriptor(int channel)
{
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(int))];
    } control;
    char octet;
    struct iovec part = {&octet, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    int fd = -1;
    if (recvmsg(channel, &message, 0) != 1 || message.msg_controllen < sizeof control.header)
        way_end("recvmsg", EACCES);
    memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
    return fd;
}

/* A child makes a socket by the machine's instruction. Its parent receives it. */
static int passed_by_child(int type, bool connects)
{
    int ends[2];
    way_need("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    if (fork() == 0) {
        long fd = WAY_CALL(SYS_socket, AF_INET, type, 0, 0, 0, 0);
        if (connects)
            WAY_CALL(SYS_connect, fd, &target.v4, sizeof target.v4, 0, 0, 0);
        send_descriptor(ends[1], (int)fd);
        _exit(0);
    }
    return receive_descriptor(ends[0]);
}

static void passed_stream(void)
{
    way_done("connect", connect(passed_by_child(SOCK_STREAM | SOCK_NONBLOCK, false), V4));
}

static void passed_datagram(void)
{
    way_done("sendto", sendto(passed_by_child(SOCK_DGRAM, false), TEXT, 0, V4));
}

static void passed_connected(void)
{
    way_done("write", write(passed_by_child(SOCK_DGRAM, true), TEXT));
}

/* The parent takes the socket out of the child. */
static void pidfd_taken(void)
{
    int ends[2];
    char octet;
    way_need("pipe", pipe(ends));
    pid_t child = fork();
    if (child == 0) {
        long fd = WAY_CALL(SYS_socket, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
        WAY_CALL(SYS_dup2, fd, 100, 0, 0, 0, 0);
        WAY_CALL(SYS_write, ends[1], "x", 1, 0, 0, 0);
        pause();
        _exit(0);
    }
    way_need("read", read(ends[0], &octet, 1));
    long fd = syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, child, 0), 100, 0);
    long result = sendto((int)way_need("pidfd_getfd", fd), TEXT, 0, V4);
    int error = errno;
    kill(child, SIGKILL);
    errno = error;
    way_done("sendto", result);
}

/* A harmless call of a child becomes another one while its tracer has it stopped. */
static void traced_call(void)
{
#ifdef __x86_64__
    struct user_regs_struct registers;
    int fd = way_socket(AF_INET, SOCK_DGRAM, 0), status;
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        WAY_CALL(SYS_getppid, fd, target.text, target.length, 0, &target.v4, sizeof target.v4);
        _exit(0);
    }
    waitpid(child, &status, 0);
    for (bool changed = false; !changed;) {
        way_need("ptrace", ptrace(PTRACE_SYSCALL, child, NULL, NULL));
        way_need("waitpid", waitpid(child, &status, 0));
        if (!WIFSTOPPED(status))
            way_end("ptrace", EPERM);
        ptrace(PTRACE_GETREGS, child, NULL, &registers);
        if ((changed = registers.orig_rax == SYS_getppid)) {
            registers.orig_rax = SYS_sendto;
            ptrace(PTRACE_SETREGS, child, NULL, &registers);
        }
    }
    ptrace(PTRACE_DETACH, child, NULL, NULL);
    waitpid(child, &status, 0);
    way_end("ptrace", 0);
#else
    way_unavailable("ptrace");
#endif
}

/* --- a process outside the tree: the test has a server behind an abstract UNIX socket --- */

static int outside_server(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "\0ways-outside"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    way_need("outside",
             connect(fd, (struct sockaddr *)&to, (socklen_t)(sizeof to.sun_family + 13)));
    return fd;
}

/* It sends a datagram to the target when asked. */
static void outside_sends(void)
{
    char line[64], octet;
    int fd = outside_server();
    snprintf(line, sizeof line, "send %s %u", target.host4, target.token);
    way_need("write", write(fd, line, strlen(line)));
    way_done("outside", read(fd, &octet, 1));
}

/* It passes a socket that is connected to the target. */
static void outside_socket(void)
{
    char line[64];
    int fd = outside_server();
    snprintf(line, sizeof line, "socket %s %u", target.host4, target.token);
    way_need("write", write(fd, line, strlen(line)));
    way_done("write", write(receive_descriptor(fd), TEXT));
}

const struct way process_ways[] = {
    {"fork_sendto", fork_sendto},
    {"vfork_sendto", vfork_sendto},
    {"vfork_connect", vfork_connect},
    {"clone_syscall", clone_syscall},
    {"clone_instruction", clone_instruction},
    {"clone3_instruction", clone3_instruction},
    {"clone_memory", clone_memory},
    {"clone_memory_files", clone_memory_files},
    {"clone_files", clone_files},
    {"passed_stream", passed_stream},
    {"passed_datagram", passed_datagram},
    {"passed_connected", passed_connected},
    {"pidfd_taken", pidfd_taken},
    {"traced_call", traced_call},
    {"outside_sends", outside_sends},
    {"outside_socket", outside_socket},
    {0},
};

/* Makes network calls by itself, without the C library, right after calls that the engine makes, in signal handlers
 * that interrupt them, and after jumps out of such handlers. Its system calls leave the registers of the fifth and
 * sixth argument as they are. Each must be refused, with the errno in ERRNO: HOST PORT SECONDS ERRNO. What is no socket
 * has the kernel's errno. */
#include "app.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

/* A system call with three arguments. The others are whatever the registers have. */
static inline __attribute__((always_inline)) long raw_call(long number, long a, long b, long c)
{
#if defined __x86_64__
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
#elif defined __i386__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
#elif defined __aarch64__
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
#else
    long result = syscall(number, a, b, c, 0, 0, 0);
    return result < 0 ? -errno : result;
#endif
}

static struct peer target;
static long refused;
static int raw_stream, raw_datagram;
static _Atomic int current = -1; /* the descriptor that the engine works on */
static _Atomic unsigned long passed, made, handled;
static _Atomic long last; /* the result of a call that passed */
static sigjmp_buf outside;
static volatile sig_atomic_t may_jump;

static void expect_refusal(long result)
{
    atomic_fetch_add(&made, 1);
    if (result == -refused || result == -EBADF || result == -ENOTSOCK)
        return;
    atomic_fetch_add(&passed, 1);
    atomic_store(&last, result);
}

/* On the program's descriptors, and on the one that the engine works on. */
static void make_calls(void)
{
    char octet = 'x';
    struct iovec part = {&octet, 1};
    struct msghdr m = {.msg_name = &target.addr, .msg_namelen = target.len, .msg_iov = &part, .msg_iovlen = 1};
    int fds[] = {raw_datagram, raw_stream, atomic_load(&current)};
    for (unsigned i = 0; i < 3; i++) {
        if (fds[i] < 0)
            continue;
        expect_refusal(raw_call(SYS_connect, fds[i], (long)&target.addr, target.len));
        expect_refusal(raw_call(SYS_sendmsg, fds[i], (long)&m, MSG_NOSIGNAL));
    }
}

/* With the arguments of the interrupted call, where it is one: the key that is still in its registers fits them alone,
 * and they name what the engine has decided on. With another address in their place nothing may pass. */
static void handle_signal(int sig, siginfo_t *info, void *context)
{
    int saved = errno;
    (void)sig, (void)info, (void)context;
    make_calls();
#if defined __x86_64__
    const ucontext_t *u = context;
    long fd = u->uc_mcontext.gregs[REG_RDI];
    if (fd >= 0 && fd < 1024)
        expect_refusal(raw_call(SYS_connect, fd, (long)&target.addr, target.len));
#endif
    errno = saved;
    atomic_fetch_add(&handled, 1);
    if (may_jump) {
        may_jump = 0;
        siglongjmp(outside, 1);
    }
}

static void call_engine(unsigned n)
{
    int type = n % 3 == 0 ? SOCK_DGRAM : SOCK_STREAM, fd = socket(target.family, type, 0);
    CHECK(fd >= 0);
    atomic_store(&current, fd);
    if (sigsetjmp(outside, 1) == 0) {
        may_jump = n % 5 == 0;
        if (type == SOCK_DGRAM)
            sendto(fd, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&target.addr, target.len);
        else
            connect(fd, (struct sockaddr *)&target.addr, target.len);
    }
    may_jump = 0;
    make_calls(); /* right behind */
    atomic_store(&current, -1);
    close(fd);
}

/* The next signal waits for the end of the handler. On a busy machine the handler may take longer than the pause, and
 * the program would do nothing else. */
static void *send_signals(void *to)
{
    pthread_t *thread = to;
    for (unsigned long sent = 1;; sent++) {
        pthread_kill(*thread, SIGUSR1);
        while (atomic_load(&handled) < sent)
            usleep(20);
        usleep(150);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    CHECK(argc == 5);
    target = peer_of(argv[1], argv[2]);
    time_t end = time(NULL) + atoi(argv[3]);
    refused = atoi(argv[4]);
    struct sigaction handler = {.sa_sigaction = handle_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    pthread_t self = pthread_self(), other;
    raw_stream = socket(target.family, SOCK_STREAM, 0);
    raw_datagram = socket(target.family, SOCK_DGRAM, 0);
    CHECK(sigaction(SIGUSR1, &handler, NULL) == 0 && pthread_create(&other, NULL, send_signals, &self) == 0);
    for (unsigned n = 0; time(NULL) <= end; n++)
        call_engine(n);
    printf("%lu calls, %lu passed (%ld)\n", atomic_load(&made), atomic_load(&passed), atomic_load(&last));
    fflush(stdout);
    _exit(atomic_load(&passed) != 0);
}

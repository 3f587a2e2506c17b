/* Ways by calls at unexpected moments: in signal handlers, after a jump out of a call, in threads
 * that race. */
#include "way.h"
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <time.h>

enum { DURATION_MS = 150, MOST = 1000 }; /* calls are repeated for so long, and so often */

static int own_datagram = -1;
static sigjmp_buf before_call;
static volatile bool may_jump;

/* Whether calls are to be repeated once more. */
static bool is_time_left(void)
{
    static int64_t end;
    static int count;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t now = t.tv_sec * 1000 + t.tv_nsec / 1000000;
    if (!end)
        end = now + DURATION_MS;
    return now < end && count++ < MOST;
}

/* Calls HANDLER every 100 microseconds. */
static void start_timer(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | flags};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    const struct itimerspec often = {{0, 100000}, {0, 100000}};
    timer_t timer;
    own_datagram = way_socket(AF_INET, SOCK_DGRAM, 0);
    sigaction(SIGUSR1, &action, NULL);
    way_need("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer));
    timer_settime(timer, 0, &often, NULL);
}

static void make_calls(void)
{
    struct addrinfo *found = NULL;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connect(fd, V4);
    send(fd, TEXT, MSG_NOSIGNAL);
    close(fd);
    if (getaddrinfo("127.0.0.1", NULL, NULL, &found) == 0)
        freeaddrinfo(found);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sendto(fd, TEXT, 0, V4);
    close(fd);
}

static void call_until_end(void)
{
    while (is_time_left())
        make_calls();
}

static void send_in_handler(int number)
{
    int error = errno;
    (void)number;
    sendto(own_datagram, TEXT, MSG_DONTWAIT, V4);
    errno = error;
}

static void connect_in_handler(int number)
{
    int error = errno, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)number;
    connect(fd, V4);
    close(fd);
    errno = error;
}

static void jump_in_handler(int number)
{
    (void)number;
    if (may_jump)
        siglongjmp(before_call, 1);
}

static void handler_sendto(void)
{
    start_timer(send_in_handler, 0);
    call_until_end();
    way_end("handler", 0);
}

static void handler_connect(void)
{
    start_timer(connect_in_handler, 0);
    call_until_end();
    way_end("handler", 0);
}

static void handler_other_stack(void)
{
    static char stack[16384];
    const stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&other, NULL);
    start_timer(send_in_handler, SA_ONSTACK);
    call_until_end();
    way_end("handler", 0);
}

/* Leaves calls by jumps, then makes ordinary ones. */
static void handler_jump(void)
{
    start_timer(jump_in_handler, SA_NODEFER);
    while (is_time_left()) {
        if (sigsetjmp(before_call, 1) == 0) {
            may_jump = true;
            make_calls();
        }
        may_jump = false;
        sendto(own_datagram, TEXT, MSG_DONTWAIT, V4);
    }
    way_end("jump", 0);
}

static void handler_jump_resolve(void)
{
    start_timer(jump_in_handler, SA_NODEFER);
    while (is_time_left()) {
        if (sigsetjmp(before_call, 1) == 0) {
            unsigned char answer[512];
            may_jump = true;
            sendto(own_datagram, answer, 1, MSG_DONTWAIT, V4);
            make_calls();
        }
        may_jump = false;
        gethostbyname(target.name);
    }
    way_end("jump", 0);
}

/* A handler of SIGSEGV that is called within a call, because the address of the call is not mapped.
 */
static void send_after_fault(int number)
{
    send_in_handler(number);
    way_end("fault", EFAULT);
}

static void handler_fault(void)
{
    struct sigaction action = {.sa_handler = send_after_fault};
    own_datagram = way_socket(AF_INET, SOCK_DGRAM, 0);
    sigaction(SIGSEGV, &action, NULL);
    int fd = way_socket(AF_INET, SOCK_STREAM, 0);
    long result = connect(fd, (const struct sockaddr *)4096, 16);
    int error = errno;
    sendto(own_datagram, TEXT, 0, V4);
    errno = error;
    way_done("connect", result);
}

/* --- threads --- */

static void *call_for_ever(void *unused)
{
    (void)unused;
    for (;;)
        make_calls();
    return NULL;
}

/* A thread is cancelled in a call, and the others go on. */
static void thread_cancelled(void)
{
    own_datagram = way_socket(AF_INET, SOCK_DGRAM, 0);
    while (is_time_left()) {
        pthread_t thread;
        pthread_create(&thread, NULL, call_for_ever, NULL);
        usleep(2000);
        pthread_cancel(thread);
        pthread_join(thread, NULL);
        sendto(own_datagram, TEXT, MSG_DONTWAIT, V4);
    }
    way_end("cancel", 0);
}

static atomic_int raced_fd;

/* Replaces the socket behind the number while the other thread calls. */
static void *replace_socket(void *unused)
{
    (void)unused;
    for (;;) {
        int fresh = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        dup2(fresh, raced_fd);
        close(fresh);
        fresh = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        dup2(fresh, raced_fd);
        close(fresh);
    }
    return NULL;
}

static void *replace_socket_unseen(void *unused)
{
    (void)unused;
    for (;;) {
        long fresh = WAY_CALL(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0, 0, 0);
        WAY_CALL(SYS_dup2, fresh, raced_fd, 0, 0, 0, 0);
        WAY_CALL(SYS_close, fresh, 0, 0, 0, 0, 0);
    }
    return NULL;
}

static _Noreturn void race_with(void *(*other)(void *))
{
    pthread_t thread;
    raced_fd = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    pthread_create(&thread, NULL, other, NULL);
    while (is_time_left()) {
        connect(raced_fd, V4);
        sendto(raced_fd, TEXT, MSG_DONTWAIT | MSG_NOSIGNAL, V4);
        send(raced_fd, TEXT, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    way_end("race", 0);
}

static void thread_race(void)
{
    race_with(replace_socket);
}

static void thread_race_unseen(void)
{
    race_with(replace_socket_unseen);
}

static struct sockaddr_in raced_address;

/* Changes the address between loopback and the target while the other thread calls with it. */
static void *change_address(void *unused)
{
    (void)unused;
    for (;;) {
        ((volatile struct sockaddr_in *)&raced_address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ((volatile struct sockaddr_in *)&raced_address)->sin_addr.s_addr =
            target.v4.sin_addr.s_addr;
    }
    return NULL;
}

static void thread_changes_address(void)
{
    pthread_t thread;
    raced_address = target.v4;
    pthread_create(&thread, NULL, change_address, NULL);
    while (is_time_left()) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sendto(fd, TEXT, MSG_DONTWAIT, (struct sockaddr *)&raced_address, sizeof raced_address);
        close(fd);
    }
    way_end("race", 0);
}

const struct way handler_ways[] = {
    {"handler_sendto", handler_sendto},
    {"handler_connect", handler_connect},
    {"handler_other_stack", handler_other_stack},
    {"handler_jump", handler_jump},
    {"handler_jump_resolve", handler_jump_resolve},
    {"handler_fault", handler_fault},
    {"thread_cancelled", thread_cancelled},
    {"thread_race", thread_race},
    {"thread_race_unseen", thread_race_unseen},
    {"thread_changes_address", thread_changes_address},
    {0},
};

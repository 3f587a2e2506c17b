/* Calls that wait and do not return: their thread is cancelled, or a signal handler jumps out of them, at any
 * moment. After the thread has made another call, no descriptor may be left over, and memory that processes share
 * may not contain more copies of the word WORD than before.
 *
 * Arguments: HOST PORT [COUNT [WORD [WAY]]]. COUNT is the number of repetitions. The way is one of these:
 * - none: connect() to HOST PORT blocks for a long time.
 * - "datagrams": the first datagram to it does.
 * - "polls": a non-blocking connect() is started and poll() is left repeatedly. The next poll() must still report
 *   the result of the connection.
 * - "listens": listen() on a socket bound to any address blocks for a long time.
 * - "accepts": listen() returns at once, but no connection arrives. */
#include "app.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

static struct peer target;
static enum { CONNECTS, DATAGRAMS, POLLS, LISTENS, ACCEPTS, WAYS } way;
static const char *const words[WAYS] = {"", "datagrams", "polls", "listens", "accepts"};
static int fd;
static volatile sig_atomic_t may_jump;
static sigjmp_buf outside;

static int fresh_socket(void)
{
    int type = way == DATAGRAMS ? SOCK_DGRAM : way == POLLS ? SOCK_STREAM | SOCK_NONBLOCK : SOCK_STREAM;
    int made = socket(target.family, type, 0);
    CHECK(made >= 0);
    if (way == LISTENS || way == ACCEPTS) {
        struct sockaddr_in any = {.sin_family = AF_INET};
        CHECK(bind(made, (struct sockaddr *)&any, sizeof any) == 0);
    }
    if (way == ACCEPTS)
        CHECK(listen(made, 1) == 0);
    return made;
}

static int wait_ms(int ms)
{
    struct pollfd p = {fd, POLLOUT, 0};
    return poll(&p, 1, ms);
}

static void make_call(void)
{
    if (way == DATAGRAMS)
        sendto(fd, "x", 1, 0, peer_addr(&target), target.len);
    else if (way == LISTENS)
        listen(fd, 1);
    else if (way == ACCEPTS)
        accept(fd, NULL, NULL);
    else
        connect(fd, peer_addr(&target), target.len);
    if (way == POLLS)
        wait_ms(1000);
}

static void pause_us(long us)
{
    const struct timespec t = {0, us * 1000};
    nanosleep(&t, NULL);
}

/* Counts the occurrences of WORD in memory that is shared through a memfd. */
static size_t count_copies(const char *word)
{
    char line[512];
    size_t found = 0, n = strlen(word);
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    CHECK(maps && memory >= 0);
    while (fgets(line, sizeof line, maps)) {
        unsigned long long from, to;
        if (!strstr(line, "/memfd:") || sscanf(line, "%llx-%llx", &from, &to) != 2)
            continue;
        /* Only the first 64 MiB are read. Pages that were never written take long to read and contain nothing. */
        for (unsigned long long at = from; at < to && at < from + (64u << 20); at += 1 << 16) {
            static char part[(1 << 16) + 64];
            ssize_t got = pread(memory, part, sizeof part, (off_t)at);
            for (char *p = part; got > 0 && (p = memmem(p, (size_t)(part + got - p), word, n)); p++)
                found += p - part < 1 << 16;
        }
    }
    fclose(maps);
    close(memory);
    return found;
}

/* --- cancelled --- */

static void *in_thread(void *unused)
{
    make_call();
    return unused;
}

static void run_cancelled(int count)
{
    pthread_t thread;
    for (int i = 0; i < count; i++) {
        fd = fresh_socket();
        CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0);
        pause_us(i * 37 % 2000);
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, NULL) == 0);
        CHECK(close(fd) == 0);
    }
}

/* --- left by a jump --- */

static void jump_out(int sig)
{
    (void)sig;
    if (may_jump)
        siglongjmp(outside, 1);
}

/* Makes the call. A handler jumps out of it after US microseconds. */
static void leave_after(int us)
{
    const struct itimerval soon = {.it_value = {0, us}}, never = {{0, 0}, {0, 0}};
    if (sigsetjmp(outside, 1) == 0) {
        may_jump = 1;
        setitimer(ITIMER_REAL, &soon, NULL);
        make_call();
    }
    may_jump = 0;
    setitimer(ITIMER_REAL, &never, NULL);
}

static void run_left(int count)
{
    struct sigaction action = {.sa_handler = jump_out};
    sigaction(SIGALRM, &action, NULL);
    for (int i = 0; i < count; i++) {
        fd = fresh_socket();
        leave_after(1 + i * 37 % 2000);
        for (int again = 1; way == POLLS && again < 5; again++)
            leave_after(1 + (i * 37 + again * 61) % 500);
        if (way == POLLS && wait_ms(20000) != 1)
            FAIL("poll() does not report connection %d", i);
        CHECK(close(fd) == 0);
    }
}

/* Sends a datagram to this machine. */
static void send_near(void)
{
    struct peer near = peer_of("127.0.0.1", "9");
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(sendto(fd, "x", 1, 0, peer_addr(&near), near.len) == 1);
    close(fd);
}

/* --- the program --- */

static void *sleep_forever(void *unused)
{
    pause();
    return unused;
}

/* Starts another thread, which blocks all signals. */
static void begin_thread(void)
{
    pthread_t other;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    CHECK(pthread_create(&other, NULL, sleep_forever, NULL) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    int count = argc > 3 ? atoi(argv[3]) : 100;
    const char *word = argc > 4 ? argv[4] : "no such word";
    while (argc > 5 && strcmp(argv[5], words[way]) != 0)
        CHECK(++way < WAYS);
    send_near(); /* allocates what is allocated only once */
    int open = open_descriptors();
    size_t before = count_copies(word);
    run_left(count);
    begin_thread();
    run_left(count);
    if (way != LISTENS) /* listen() is no cancellation point */
        run_cancelled(count);
    send_near();
    descriptors_within(open);
    if (count_copies(word) != before)
        FAIL("\"%s\" occurs %zu times, %zu before", word, count_copies(word), before);
    return 0;
}

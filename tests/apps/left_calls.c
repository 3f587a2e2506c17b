/* Calls that wait and do not end: their thread is cancelled, or a signal's handler jumps out of them, at any
 * moment. Afterwards no descriptor is left of them, nor one more copy of the fourth argument in memory that
 * processes share, when the thread has gone on and made another call.
 *
 * HOST PORT: connect() there waits for long, as does the first datagram to it where the last argument says
 * "datagrams"; where it says "polls", connect() is begun there and poll() is left, over and over: then the next poll()
 * tells what became of the connection all the same. "listens": listen() on a socket that anybody may call waits for
 * long. "accepts": it does not, but nobody calls. COUNT: how often each. */
#include "app.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

static struct peer target;
static enum { CONNECTS, DATAGRAMS, POLLS, LISTENS, ACCEPTS, WAYS } way;
static const char *const words[WAYS] = {"", "datagrams", "polls", "listens", "accepts"};
static int fd;
static volatile sig_atomic_t inside;
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

static void call(void)
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

/* How often WORD is in memory that is shared with other processes by a file that has no name. */
static size_t copies(const char *word)
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
        /* Pages nobody wrote to take long to read, and hold nothing. */
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
    call();
    return unused;
}

static void cancelled(int count)
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

static void jump(int sig)
{
    (void)sig;
    if (inside)
        siglongjmp(outside, 1);
}

/* The call, of which a handler jumps out after US microseconds. */
static void leave_after(int us)
{
    const struct itimerval soon = {.it_value = {0, us}}, never = {{0, 0}, {0, 0}};
    if (sigsetjmp(outside, 1) == 0) {
        inside = 1;
        setitimer(ITIMER_REAL, &soon, NULL);
        call();
    }
    inside = 0;
    setitimer(ITIMER_REAL, &never, NULL);
}

static void left(int count)
{
    struct sigaction action = {.sa_handler = jump};
    sigaction(SIGALRM, &action, NULL);
    for (int i = 0; i < count; i++) {
        fd = fresh_socket();
        leave_after(1 + i * 37 % 2000);
        for (int again = 1; way == POLLS && again < 5; again++)
            leave_after(1 + (i * 37 + again * 61) % 500);
        if (way == POLLS && wait_ms(20000) != 1)
            FAIL("nothing is told of connection %d", i);
        CHECK(close(fd) == 0);
    }
}

/* A datagram to somebody near. */
static void goes_on(void)
{
    struct peer near = peer_of("127.0.0.1", "9");
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(sendto(fd, "x", 1, 0, peer_addr(&near), near.len) == 1);
    close(fd);
}

/* --- */

static void *sleeps(void *unused)
{
    pause();
    return unused;
}

/* A thread beside this one, to which no signal is delivered. */
static void begin_thread(void)
{
    pthread_t other;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    CHECK(pthread_create(&other, NULL, sleeps, NULL) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    int count = argc > 3 ? atoi(argv[3]) : 100;
    const char *word = argc > 4 ? argv[4] : "no such word";
    while (argc > 5 && strcmp(argv[5], words[way]) != 0)
        CHECK(++way < WAYS);
    goes_on(); /* whatever is only made once */
    int open = open_descriptors();
    size_t before = copies(word);
    left(count);
    begin_thread();
    left(count);
    if (way != LISTENS) /* nobody is cancelled in it */
        cancelled(count);
    goes_on();
    descriptors_within(open);
    if (copies(word) != before)
        FAIL("\"%s\" is there %zu times, %zu before", word, copies(word), before);
    return 0;
}

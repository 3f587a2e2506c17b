#include "in_engine.h"
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

__thread int s5_in_engine __attribute__((tls_model("initial-exec")));

void s5_in_engine_begin(struct s5_in_engine_section *ret)
{
    s5_critical_begin(&ret->critical);
    s5_in_engine++;
}

void s5_in_engine_end(const struct s5_in_engine_section *quiet)
{
    s5_in_engine--;
    s5_critical_end(&quiet->critical);
}

/* The kernel's set of signals. */
struct signals {
    unsigned long words[64 / (8 * sizeof(long))];
};

static void add(struct signals *set, int sig)
{
    size_t bits = 8 * sizeof(long);
    set->words[(size_t)(sig - 1) / bits] |= 1ul << (size_t)(sig - 1) % bits;
}

static bool has(const struct signals *set, int sig)
{
    size_t bits = 8 * sizeof(long);
    return set->words[(size_t)(sig - 1) / bits] >> (size_t)(sig - 1) % bits & 1;
}

/* A signal that was pending before is the program's. Both are sent to the thread that writes, so it is this
 * thread that takes one back. By system calls, since each function of libc more costs all programs at their
 * start. */
void s5_in_engine_write(int fd, const void *buf, size_t n)
{
    struct signals both = {{0}}, one = {{0}}, before, pending = {{0}};
    const long now[4] = {0}; /* a struct timespec of either width */
    int saved = errno;
    add(&both, SIGPIPE);
    add(&both, SIGXFSZ);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &both, &before, sizeof both);
    syscall(SYS_rt_sigpending, &pending, sizeof pending);
    int error = syscall(SYS_write, fd, buf, n) < 0 ? errno : 0;
    int sig = error == EPIPE ? SIGPIPE : error == EFBIG ? SIGXFSZ : 0;
    if (sig && !has(&pending, sig)) {
        add(&one, sig);
        syscall(SYS_rt_sigtimedwait, &one, NULL, now, sizeof one);
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
    errno = saved;
}

/* s5_in_engine is a counter of the thread, so that sections can be nested. Log lines and files are written by
 * s5_in_engine_write(), which consumes the signal that a failed write sends. */
#include "in_engine.h"
#include "kernel_call.h"
#include <errno.h>
#include <sys/syscall.h>

__thread int s5_in_engine __attribute__((tls_model("initial-exec")));

void s5_in_engine_begin(struct s5_in_engine_section *ret)
{
    s5_critical_begin(&ret->critical);
    s5_in_engine++;
}

void s5_in_engine_end(const struct s5_in_engine_section *section)
{
    s5_in_engine--;
    s5_critical_end(&section->critical);
}

/* The kernel's set of signals. */
struct signals {
    unsigned long words[64 / (8 * sizeof(long))];
};

static void add_signal(struct signals *set, int sig)
{
    size_t bits = 8 * sizeof(long);
    set->words[(size_t)(sig - 1) / bits] |= 1ul << (size_t)(sig - 1) % bits;
}

static bool has_signal(const struct signals *set, int sig)
{
    size_t bits = 8 * sizeof(long);
    return set->words[(size_t)(sig - 1) / bits] >> (size_t)(sig - 1) % bits & 1;
}

/* The kernel sends both signals to the thread that writes, so this thread consumes the one that the write caused. A
 * signal that was pending before belongs to the program. Nothing here passes a hook: that of write() continues
 * negotiations before it writes, and this may be the line of a step of one. */
void s5_in_engine_write(int fd, const void *buf, size_t n)
{
    struct signals both = {{0}}, one = {{0}}, before = {{0}}, pending = {{0}};
    const long now[4] = {0}; /* a struct timespec of either width */
    add_signal(&both, SIGPIPE);
    add_signal(&both, SIGXFSZ);
    s5_kernel_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&both, (long)&before, sizeof both, 0, 0);
    s5_kernel_call(SYS_rt_sigpending, (long)&pending, sizeof pending, 0, 0, 0, 0);
    long r = s5_kernel_call(SYS_write, fd, (long)buf, (long)n, 0, 0, 0);
    int sig = r == -EPIPE ? SIGPIPE : r == -EFBIG ? SIGXFSZ : 0;
    if (sig && !has_signal(&pending, sig)) {
        add_signal(&one, sig);
        s5_kernel_call(SYS_rt_sigtimedwait, (long)&one, 0, (long)now, sizeof one, 0, 0);
    }
    s5_kernel_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, sizeof before, 0, 0);
}

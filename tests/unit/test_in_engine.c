/* The engine's own writes: a signal caused by one must not reach the program. */
#include "in_engine.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static volatile sig_atomic_t received;

static void record_signal(int sig)
{
    received = sig;
}

static int make_broken_pipe(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    close(ends[0]);
    return ends[1];
}

Test(in_engine_write, a_broken_pipe_causes_no_sigpipe)
{
    int fd = make_broken_pipe();
    errno = ERANGE;
    s5_in_engine_write(fd, "x", 1); /* the signal would end the program */
    cr_assert_eq(errno, ERANGE);
    signal(SIGPIPE, record_signal);
    s5_in_engine_write(fd, "x", 1);
    cr_assert_eq(received, 0);
    write(fd, "x", 1);
    cr_assert_eq(received, SIGPIPE, "the program's own write does as before");
}

Test(in_engine_write, a_file_size_limit_causes_no_sigxfsz)
{
    char path[] = "/tmp/quietXXXXXX";
    int fd = mkstemp(path);
    struct rlimit none = {0, RLIM_INFINITY};
    cr_assert_geq(fd, 0);
    unlink(path);
    signal(SIGXFSZ, record_signal);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    s5_in_engine_write(fd, "x", 1);
    none.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &none);
    cr_assert_eq(received, 0);
    cr_assert_eq(lseek(fd, 0, SEEK_END), 0);
    close(fd);
}

Test(in_engine_write, a_signal_that_is_pending_already_remains_pending)
{
    sigset_t pipe_alone, before, now;
    sigemptyset(&pipe_alone);
    sigaddset(&pipe_alone, SIGPIPE);
    sigprocmask(SIG_BLOCK, &pipe_alone, &before);
    raise(SIGPIPE);
    s5_in_engine_write(make_broken_pipe(), "x", 1);
    sigpending(&now);
    cr_assert(sigismember(&now, SIGPIPE));
    signal(SIGPIPE, record_signal);
    sigprocmask(SIG_SETMASK, &before, NULL);
    cr_assert_eq(received, SIGPIPE);
}

/* Writes of the engine's own: a signal that comes of one is not the program's. */
#include "in_engine.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static volatile sig_atomic_t heard;

static void hear(int sig)
{
    heard = sig;
}

static int broken_pipe(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    close(ends[0]);
    return ends[1];
}

Test(quiet, a_pipe_that_nobody_reads_is_no_sigpipe)
{
    int fd = broken_pipe();
    errno = ERANGE;
    s5_in_engine_write(fd, "x", 1); /* the signal would end the program */
    cr_assert_eq(errno, ERANGE);
    signal(SIGPIPE, hear);
    s5_in_engine_write(fd, "x", 1);
    cr_assert_eq(heard, 0);
    write(fd, "x", 1);
    cr_assert_eq(heard, SIGPIPE, "the program's own write does as before");
}

Test(quiet, a_limit_on_file_sizes_is_no_sigxfsz)
{
    char path[] = "/tmp/quietXXXXXX";
    int fd = mkstemp(path);
    struct rlimit none = {0, RLIM_INFINITY};
    cr_assert_geq(fd, 0);
    unlink(path);
    signal(SIGXFSZ, hear);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    s5_in_engine_write(fd, "x", 1);
    none.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &none);
    cr_assert_eq(heard, 0);
    cr_assert_eq(lseek(fd, 0, SEEK_END), 0);
    close(fd);
}

Test(quiet, a_signal_that_is_pending_already_stays)
{
    sigset_t pipe_alone, before, now;
    sigemptyset(&pipe_alone);
    sigaddset(&pipe_alone, SIGPIPE);
    sigprocmask(SIG_BLOCK, &pipe_alone, &before);
    raise(SIGPIPE);
    s5_in_engine_write(broken_pipe(), "x", 1);
    sigpending(&now);
    cr_assert(sigismember(&now, SIGPIPE));
    signal(SIGPIPE, hear);
    sigprocmask(SIG_SETMASK, &before, NULL);
    cr_assert_eq(heard, SIGPIPE);
}

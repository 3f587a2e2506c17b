/* Theory of operation: the companion outlives the command, where that leaves daemons. If it held the standard error of
 * the process tree, a shell that waits for the end of "socksify COMMAND 2>&1 | cat" would wait for those as well. It
 * writes to the descriptor of the process whose call was refused, if that is still the same file. */
#include "refusals.h"
#include "caller.h"
#include "clock.h"
#include "judge.h"
#include "log.h"
#include "log_events.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINES_A_SECOND 10

/* Where lines go. */
static struct {
    char path[4096]; /* of the log file, "syslog" or "fd:N"; "": standard error */
    uint64_t dev, ino;               /* of "fd:N" */
    uint64_t stderr_dev, stderr_ino; /* 0: there is none */
    pid_t task;                      /* whose descriptors are used for the line */
} to;

static struct s5_log refusal_log;
static char program[16];

static uint64_t second_begin; /* ns; LINES and UNTOLD count since then */
static unsigned lines, untold;

int refusals_stderr(pid_t task)
{
    return to.stderr_ino ? caller_file(task, 2, to.stderr_dev, to.stderr_ino) : -1;
}

static bool write_syslog(const char *line, size_t len)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    char text[S5_LOG_LINE + 8];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int n = snprintf(text, sizeof(text), "<11>%.*s", (int)len - 1, line); /* user, error */
    bool sent = fd >= 0 && sendto(fd, text, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&at, sizeof(at)) == n;
    if (fd >= 0)
        close(fd);
    return sent;
}

/* Writes LINE, and closes FD. The descriptor may be blocking, and its other end may be stopped: such a line is lost. */
static bool write_to(int fd, const char *line, size_t len)
{
    struct iovec iov = {(void *)(uintptr_t)line, len};
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (fd < 0)
        return false;
    ssize_t n = send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK)
        n = pwritev2(fd, &iov, 1, -1, RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP && poll(&ready, 1, 0) == 1)
        n = write(fd, line, len);
    close(fd);
    return n > 0;
}

static void write_line(void *user, const char *line, size_t len)
{
    bool written = false;
    (void)user;
    if (to.path[0] == '/')
        written = write_to(open(to.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600),
                           line, len);
    else if (strncmp(to.path, S5_LOG_EVENTS_FD, sizeof(S5_LOG_EVENTS_FD) - 1) == 0)
        written = write_to(caller_file(to.task, atoi(to.path + sizeof(S5_LOG_EVENTS_FD) - 1), to.dev, to.ino), line,
                           len);
    else if (strcmp(to.path, S5_LOG_EVENTS_SYSLOG) == 0)
        written = write_syslog(line, len);
    if (!written)
        write_to(refusals_stderr(to.task), line, len);
}

void refusals_begin(const struct s5_policy *policy)
{
    struct stat st;
    snprintf(to.path, sizeof(to.path), "%s", policy->log_file ? s5_policy_text(policy, policy->log_file) : "");
    to.dev = policy->log_dev;
    to.ino = policy->log_ino;
    if (fstat(2, &st) == 0) {
        to.stderr_dev = (uint64_t)st.st_dev;
        to.stderr_ino = (uint64_t)st.st_ino;
    }
    refusal_log = (struct s5_log){.level = (enum s5_log_level)policy->log_level,
                                  .write = write_line,
                                  .json = policy->log_json,
                                  .program = program,
                                  .now = s5_clock_wall_ms};
}

int refusals_flush(void)
{
    uint64_t now = s5_clock_now(), end = second_begin + S5_CLOCK_SECOND;
    if (lines == 0)
        return -1;
    if (now < end)
        return (int)((end - now) / 1000000) + 1;
    if (untold > 0)
        s5_log(&refusal_log, S5_LOG_ERROR, "refused: %u more calls past the preload object", untold);
    lines = untold = 0;
    return -1;
}

void refusals_report(const struct seccomp_notif *q)
{
    char what[200];
    refusals_flush();
    if (lines == 0)
        second_begin = s5_clock_now();
    to.task = (pid_t)q->pid;
    if (lines == LINES_A_SECOND) {
        untold++;
        return;
    }
    lines++;
    caller_program(to.task, program);
    judge_describe(q, what, sizeof(what));
    refusal_log.pid = (int32_t)caller_process(to.task);
    s5_log(&refusal_log, S5_LOG_ERROR, "refused: %s: %s past the preload object", program, what);
}

/* Theory of operation: a line is written while the caller waits, with the caller's descriptors (tree_log.h). */
#include "refusals.h"
#include "caller.h"
#include "clock.h"
#include "judge.h"
#include "log.h"
#include "tree_log.h"
#include <sys/stat.h>

#define LINES_A_SECOND 10

static pid_t task; /* whose descriptors are used for the line */
static struct s5_log refusal_log;
static char program[16];

static uint64_t second_begin; /* ns; LINES and UNTOLD count since then */
static unsigned lines, untold;

static void write_line(void *user, const char *line, size_t len)
{
    (void)user;
    tree_log_write(task, line, len);
}

void refusals_begin(const struct s5_policy *policy)
{
    struct stat st;
    bool has_stderr = fstat(2, &st) == 0;
    tree_log_begin(policy, has_stderr ? (uint64_t)st.st_dev : 0, has_stderr ? (uint64_t)st.st_ino : 0);
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
    task = (pid_t)q->pid;
    if (lines == LINES_A_SECOND) {
        untold++;
        return;
    }
    lines++;
    caller_program(task, program);
    judge_describe(q, what, sizeof(what));
    refusal_log.pid = (int32_t)caller_process(task);
    s5_log(&refusal_log, S5_LOG_ERROR, "refused: %s: %s past the preload object", program, what);
}

/* Each line is one write(). It goes to the log file, which is opened for each line, so that it may be moved away, or to
 * standard error. */
#include "journal.h"
#include <fcntl.h>
#include <unistd.h>

static void write_line(void *user, const char *line, size_t len)
{
    const char *path = user;
    int fd =
        path && *path == '/' ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600) : -1;
    (void)!write(fd >= 0 ? fd : 2, line, len);
    if (fd >= 0)
        close(fd);
}

struct s5_log journal_log = {.level = S5_LOG_ERROR, .write = write_line};

void journal_begin(const struct s5_policy *p)
{
    journal_log.level = (enum s5_log_level)p->log_level;
    journal_log.json = p->log_json;
    journal_log.program = "socks5-bridge";
    journal_log.user = (void *)(uintptr_t)(p->log_file ? s5_policy_text(p, p->log_file) : NULL);
    journal_log.pid = (int32_t)getpid();
}

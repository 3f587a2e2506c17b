/* Theory of operation: the process outlives the command, where that leaves daemons. If it held the standard error of
 * the process tree, a shell that waits for the end of "socksify COMMAND 2>&1 | cat" would wait for those as well. It
 * writes to the descriptor of a process of the tree, if that is still the same file. */
#include "tree_log.h"
#include "caller.h"
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
#include <unistd.h>

static struct {
    char path[4096];                 /* of the log file, "syslog" or "fd:N"; "": standard error */
    uint64_t dev, ino;               /* of "fd:N" */
    uint64_t stderr_dev, stderr_ino; /* 0: there is none */
} to;

int tree_log_stderr(pid_t task)
{
    return to.stderr_ino ? caller_file(task, 2, to.stderr_dev, to.stderr_ino) : -1;
}

static bool write_syslog(const char *line, size_t len)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    char head[S5_LOG_EVENTS_HEAD];
    size_t n = s5_log_events_syslog_head(head, line, len);
    struct iovec parts[] = {{head, n}, {(void *)(uintptr_t)line, len - 1}};
    struct msghdr m = {.msg_name = &at, .msg_namelen = sizeof(at), .msg_iov = parts, .msg_iovlen = 2};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool sent = fd >= 0 && sendmsg(fd, &m, MSG_NOSIGNAL) >= 0;
    if (fd >= 0)
        close(fd);
    return sent;
}

/* Whether a write to FD that did not go on at once may wait: for a disk, but not for the other end of a pipe. */
static bool may_wait(int fd, int error)
{
    struct stat st;
    return error == EOPNOTSUPP || (error == EAGAIN && fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
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
    if (n < 0 && may_wait(fd, errno) && poll(&ready, 1, 0) == 1)
        n = write(fd, line, len);
    close(fd);
    return n > 0;
}

bool tree_log_write(pid_t task, const char *line, size_t len)
{
    bool written = false;
    if (to.path[0] == '/')
        written =
            write_to(open(to.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600), line, len);
    else if (strncmp(to.path, S5_LOG_EVENTS_FD, sizeof(S5_LOG_EVENTS_FD) - 1) == 0)
        written = write_to(caller_file(task, atoi(to.path + sizeof(S5_LOG_EVENTS_FD) - 1), to.dev, to.ino), line, len);
    else if (strcmp(to.path, S5_LOG_EVENTS_SYSLOG) == 0)
        written = write_syslog(line, len);
    return written || write_to(tree_log_stderr(task), line, len);
}

void tree_log_begin(const struct s5_policy *policy, uint64_t dev, uint64_t ino)
{
    const char *path = policy && policy->log_file ? s5_policy_text(policy, policy->log_file) : "";
    snprintf(to.path, sizeof(to.path), "%s", path);
    to.dev = policy ? policy->log_dev : 0;
    to.ino = policy ? policy->log_ino : 0;
    to.stderr_dev = dev;
    to.stderr_ino = ino;
}

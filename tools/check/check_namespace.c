/* Theory of operation: whether namespaces can be made depends on the kernel's settings and modules, on AppArmor and on
 * the container around this process. socks5-reach tries it, with all steps but the start of a command. */
#include "check_namespace.h"
#include "keyed.h"
#include "parts.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREFIX "socksify: no namespace: "

static void exec_attempt(int output)
{
    dup2(output, STDERR_FILENO);
    execl(parts_reach(), parts_reach(), "--try", (char *)NULL);
    dprintf(STDERR_FILENO, PREFIX "%s: %s", parts_reach(), strerror(errno));
    _exit(1);
}

/* Reads all that comes from FD into RET. */
static void read_output(int fd, char *ret, size_t size)
{
    size_t used = 0;
    ssize_t n;
    while (used < size - 1 && (n = read(fd, ret + used, size - 1 - used)) > 0)
        used += (size_t)n;
    ret[used] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}

const char *check_namespace_try(void)
{
    static char text[1024];
    static bool tried, works;
    int ends[2], status = 0;
    if (tried)
        return works ? NULL : text;
    tried = true;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return strerror(errno);
    pid_t pid = fork();
    if (pid == 0)
        exec_attempt(ends[1]);
    close(ends[1]);
    read_output(ends[0], text, sizeof(text));
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    works = pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (strncmp(text, PREFIX, strlen(PREFIX)) == 0)
        memmove(text, text + strlen(PREFIX), strlen(text) - strlen(PREFIX) + 1);
    return works ? NULL : text;
}

void check_namespace(struct report *report)
{
    const char *why = s5_fence() == S5_FENCE_NONE ? check_namespace_try() : NULL;
    report_group(report, "namespace", "of this machine");
    if (s5_fence() != S5_FENCE_NONE)
        report_row(report, "namespace", FINDING_UNKNOWN, "run this check outside of the fence",
                   "this process is within a fence");
    else if (!why)
        report_row(report, "namespace", FINDING_OK, NULL, "runs programs that the preload object cannot cover");
    else
        report_row(report, "namespace", FINDING_NO, "see NAMESPACES in socksify(1)",
                   "programs that the preload object cannot cover are not run: %s", why);
}

#include "coverage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

int coverage_of_command(const char *command, struct s5_program_report *ret)
{
    static const struct s5_program_calls calls = {
        .open = open,
        .pread = pread,
        .fstat = fstat,
        .close = close,
        .getxattr = getxattr,
        .access = access,
    };
    const char *search = getenv("PATH");
    char path[PATH_MAX];
    int error = s5_program_find(&calls, command, search, path, sizeof(path));
    if (error == 0)
        return s5_program_check(&calls, path, search, ret);
    ret->coverage = S5_UNKNOWN;
    snprintf(ret->path, sizeof(ret->path), "%s", command);
    ret->detail[0] = '\0';
    return error;
}

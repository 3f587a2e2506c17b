/* ELF headers and "#!" lines. The input is the content of every file, whatever its name. A file that the program names
 * has the same content, so that interpreters of interpreters are followed, too. */
#include "fuzz.h"
#include "program.h"
#include <errno.h>
#include <fcntl.h>

static const uint8_t *file;
static size_t file_len;

static int fake_openat(int dir, const char *path, int flags, ...)
{
    (void)dir, (void)flags;
    return path[0] == '!' ? (errno = ENOENT, -1) : 1000;
}

static ssize_t fake_pread(int fd, void *buf, size_t n, off_t at)
{
    (void)fd;
    if (at < 0)
        return errno = EINVAL, -1;
    if ((uint64_t)at >= file_len)
        return 0;
    size_t left = file_len - (size_t)at;
    n = n < left ? n : left;
    memcpy(buf, file + at, n);
    return (ssize_t)n;
}

static int fake_fstatat(int dir, const char *path, struct stat *ret, int flags)
{
    (void)dir, (void)path, (void)flags;
    memset(ret, 0, sizeof *ret);
    ret->st_mode = S_IFREG | 0755;
    return 0;
}

static int fake_close(int fd)
{
    return fd == 1000 ? 0 : (abort(), -1);
}

static ssize_t fake_fgetxattr(int fd, const char *name, void *value, size_t size)
{
    (void)fd, (void)name, (void)value, (void)size;
    return errno = ENODATA, -1;
}

static int fake_faccessat(int dir, const char *path, int mode, int flags)
{
    (void)dir, (void)path, (void)mode, (void)flags;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct s5_program_calls calls = {
        fake_openat, fake_pread, fake_fstatat, fake_close, fake_fgetxattr, fake_faccessat,
    };
    struct s5_program_report *report = malloc(sizeof *report);
    if (!report)
        return 0;
    file = data;
    file_len = size;
    const struct s5_program_place place = {.dir = AT_FDCWD};
    int r = s5_program_check(&calls, &place, AT_FDCWD, "/program", report);
    if ((r == 0) != (report->coverage == S5_COVERED) || (r < 0) != (report->coverage == S5_UNKNOWN))
        abort();
    if (r > 0 && (!*s5_program_hint(report->coverage) || !*report->detail))
        abort();
    if (strlen(report->path) >= sizeof report->interpreter || strlen(report->detail) >= sizeof report->detail)
        abort();
    free(report);
    return 0;
}

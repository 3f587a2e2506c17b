/* Files are read with plain system calls into pages of their own, which are wiped and unmapped: they may contain
 * passwords, and the process may belong to any program. A device, a pipe or a directory is refused before it is
 * read. Opening one does not block. */
#include "file.h"
#include "error.h"
#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int set_error(int result, const char *why, const char **ret_why)
{
    *ret_why = why ? why : s5_error_text(result);
    return result;
}

/* Reads all of FD into TEXT, which has space for MAX + 1 octets. Returns the length or -errno. */
static ssize_t read_all(int fd, char *text, size_t max)
{
    size_t have = 0;
    while (have <= max) {
        ssize_t n = read(fd, text + have, max + 1 - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return have > max ? -EFBIG : (ssize_t)have;
}

static int read_open(struct s5_file *ret, int fd, size_t max, size_t padding, const char **ret_why)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return set_error(-errno, NULL, ret_why);
    if (!S_ISREG(st.st_mode))
        return set_error(-EINVAL, "not a regular file", ret_why);
    if (st.st_size < 0 || (size_t)st.st_size > max)
        return set_error(-EFBIG, NULL, ret_why);
    struct s5_file file = {.size = (size_t)st.st_size + 1 + padding, .mode = st.st_mode & 07777};
    file.text = mmap(NULL, file.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (file.text == MAP_FAILED)
        return set_error(-ENOMEM, NULL, ret_why);
    ssize_t n = read_all(fd, file.text, (size_t)st.st_size);
    file.len = n < 0 ? 0 : (size_t)n;
    int r = n < 0 ? set_error((int)n, n == -EFBIG ? "it grew while it was read" : NULL, ret_why) : 0;
    if (r == 0 && memchr(file.text, '\0', file.len))
        r = set_error(-EINVAL, "it contains a NUL octet", ret_why);
    if (r < 0)
        s5_file_free(&file);
    else
        *ret = file;
    return r;
}

int s5_file_read(struct s5_file *ret, const char *path, size_t max, size_t padding, const char **ret_why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return set_error(-errno, NULL, ret_why);
    int r = read_open(ret, fd, max, padding, ret_why);
    close(fd);
    return r;
}

void s5_file_free(struct s5_file *file)
{
    if (!file->text)
        return;
    explicit_bzero(file->text, file->size);
    munmap(file->text, file->size);
    file->text = NULL;
}

static int join_path(char ret[S5_FILE_PATH], const char *directory, size_t len, const char *rest, const char **ret_why)
{
    if (len + strlen(rest) + 2 > S5_FILE_PATH)
        return set_error(-ENAMETOOLONG, NULL, ret_why);
    s5_format(ret, S5_FILE_PATH, "%.*s%s%s", (int)len, directory, len ? "/" : "", rest);
    return 0;
}

int s5_file_expand(char ret[S5_FILE_PATH], const char *path, const char *home, const char **ret_why)
{
    if (strncmp(path, "~/", 2) != 0)
        return join_path(ret, "", 0, path, ret_why);
    if (!home || home[0] != '/')
        return set_error(-ENOENT, "\"~/\" without HOME", ret_why);
    return join_path(ret, home, strlen(home), path + 2, ret_why);
}

int s5_file_beside(char ret[S5_FILE_PATH], const char *path, const char *beside, const char *home, const char **ret_why)
{
    char here[S5_FILE_PATH], full[S5_FILE_PATH];
    const char *slash = strrchr(beside, '/');
    if (path[0] == '/' || strncmp(path, "~/", 2) == 0)
        return s5_file_expand(ret, path, home, ret_why);
    /* The directory of a file in the root directory is the empty text. The slash is still needed. */
    size_t len = slash ? (size_t)(slash - beside) : 0;
    if (len + strlen(path) + 2 > sizeof full)
        return set_error(-ENAMETOOLONG, NULL, ret_why);
    s5_format(full, sizeof full, "%.*s%s%s", (int)len, beside, slash ? "/" : "", path);
    if (full[0] == '/')
        return join_path(ret, "", 0, full, ret_why);
    if (!getcwd(here, sizeof here))
        return set_error(-errno, NULL, ret_why);
    return join_path(ret, here, strlen(here), full, ret_why);
}

int s5_file_find_program(char *ret, size_t size, const char *object, const char *built, const char *installed)
{
    const char *slash = object ? strrchr(object, '/') : NULL;
    size_t n = slash ? (size_t)(slash - object) : 0;
    if (n && n + strlen(built) < size) {
        memcpy(ret, object, n);
        memcpy(ret + n, built, strlen(built) + 1);
        if (faccessat(AT_FDCWD, ret, X_OK, 0) == 0)
            return 0;
    }
    if (strlen(installed) >= size || faccessat(AT_FDCWD, installed, X_OK, 0) != 0)
        return -ENOENT;
    memcpy(ret, installed, strlen(installed) + 1);
    return 0;
}

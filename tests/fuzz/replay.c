/* What libFuzzer's main() does with files: passes each of them, and each in the folders that are named,
 * to the target once. Fails where there is none. */
#include "fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(1);
}

static unsigned replay_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        fail(path);
    /* Of the exact size, so that a sanitizer sees what is read past its end. */
    uint8_t *data = malloc(st.st_size ? (size_t)st.st_size : 1);
    if (!data || read(fd, data, (size_t)st.st_size) != st.st_size)
        fail(path);
    close(fd);
    fprintf(stderr, "%s\n", path); /* the last line names the file that ended the program */
    LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
    free(data);
    return 1;
}

static unsigned replay(const char *path)
{
    DIR *folder = opendir(path);
    unsigned n = 0;
    if (!folder && errno != ENOTDIR)
        fail(path);
    if (!folder)
        return replay_file(path);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char inside[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);
        n += replay_file(inside);
    }
    closedir(folder);
    return n;
}

int main(int argc, char **argv)
{
    unsigned n = 0;
    for (int i = 1; i < argc; i++)
        n += replay(argv[i]);
    printf("%u files\n", n);
    return n == 0;
}

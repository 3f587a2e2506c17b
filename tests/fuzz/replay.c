/* Does what the main() of libFuzzer does with files: passes each file, and each file in the directories that are named,
 * to the target once. Fails if there is none. */
#include "fuzz.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void exit_with_error(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(1);
}

static unsigned replay_file(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        exit_with_error(path);
    /* The memory has the exact size, so that a sanitizer detects reads beyond its end. */
    uint8_t *data = malloc(st.st_size ? (size_t)st.st_size : 1);
    if (!data || read(fd, data, (size_t)st.st_size) != st.st_size)
        exit_with_error(path);
    close(fd);
    fprintf(stderr, "%s\n", path); /* the last line names the file that ended the program */
    LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
    free(data);
    return 1;
}

static unsigned replay_path(const char *path)
{
    DIR *folder = opendir(path);
    unsigned n = 0;
    if (!folder && errno != ENOTDIR)
        exit_with_error(path);
    if (!folder)
        return replay_file(path);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char entry_path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(entry_path, sizeof entry_path, "%s/%s", path, entry->d_name);
        n += replay_file(entry_path);
    }
    closedir(folder);
    return n;
}

int main(int argc, char **argv)
{
    unsigned n = 0;
    for (int i = 1; i < argc; i++)
        n += replay_path(argv[i]);
    printf("%u files\n", n);
    return n == 0;
}

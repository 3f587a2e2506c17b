/* Starts a program in one of many ways. Usage: start_program WAY DIRECTORY FILE ARGUMENT...; FILE is a command line for
 * the ways that run a shell. It exits with the status of the program, or prints "error" and the number. */
#include "app.h"
#include <limits.h>
#include <spawn.h>
#include <wordexp.h>

extern char **environ;
extern FILE *_IO_popen(const char *command, const char *mode) __attribute__((weak));

static int fail(int error)
{
    printf("error %d\n", error);
    return 99;
}

static int wait_child(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int run_shell(const char *way, const char *line)
{
    char text[4096];
    wordexp_t words;
    CHECK(clearenv() == 0);
    if (strcmp(way, "system") == 0) {
        int status = system(line);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
    }
    if (strcmp(way, "wordexp") == 0) {
        snprintf(text, sizeof text, "$(%s)", line);
        int r = wordexp(text, &words, 0);
        for (size_t i = 0; r == 0 && i < words.we_wordc; i++)
            puts(words.we_wordv[i]);
        return r ? 100 + r : 0;
    }
    FILE *f = strcmp(way, "popen") == 0 ? popen(line, "r") : _IO_popen(line, "r");
    if (!f)
        return fail(errno);
    while (fgets(text, sizeof text, f))
        fputs(text, stdout);
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int spawn_program(const char *way, const char *dir, char **words)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    pid_t pid;
    CHECK(posix_spawn_file_actions_init(&actions) == 0 && posix_spawnattr_init(&attr) == 0);
    if (strstr(way, "fchdir_opened")) {
        CHECK(posix_spawn_file_actions_addchdir_np(&actions, "/") == 0);
        CHECK(posix_spawn_file_actions_addopen(&actions, 60, dir + 1, O_RDONLY | O_DIRECTORY, 0) == 0);
        CHECK(posix_spawn_file_actions_addfchdir_np(&actions, 60) == 0);
    } else if (strstr(way, "fchdir")) {
        CHECK(posix_spawn_file_actions_adddup2(&actions, open(dir, O_RDONLY | O_DIRECTORY), 61) == 0);
        CHECK(posix_spawn_file_actions_adddup2(&actions, 61, 60) == 0);
        CHECK(posix_spawn_file_actions_addopen(&actions, 61, "/dev/null", O_RDONLY, 0) == 0);
        CHECK(posix_spawn_file_actions_addfchdir_np(&actions, 60) == 0);
    } else if (strstr(way, "chdir")) {
        CHECK(posix_spawn_file_actions_addchdir_np(&actions, "/") == 0);
        CHECK(posix_spawn_file_actions_addchdir_np(&actions, dir + 1) == 0);
    }
    if (strstr(way, "reset"))
        CHECK(posix_spawnattr_setflags(&attr, POSIX_SPAWN_RESETIDS) == 0);
    int r = strncmp(way, "spawnp", 6) == 0 ? posix_spawnp(&pid, words[0], &actions, &attr, words, environ)
                                           : posix_spawn(&pid, words[0], &actions, &attr, words, environ);
    return r ? fail(r) : wait_child(pid);
}

/* The path of FILE in DIR, with so many slashes that it has LEN octets. */
static const char *make_long(const char *dir, const char *file, size_t len)
{
    static char path[PATH_MAX + 1];
    size_t n = strlen(dir), m = strlen(file);
    memset(path, '/', len);
    memcpy(path, dir, n);
    memcpy(path + len - m, file, m + 1);
    return path;
}

static int exec_beneath(const char *way, const char *dir, char **words)
{
    int there = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int flags = strstr(way, "opath") ? O_PATH : O_RDONLY, fd = openat(there, words[0], flags);
    if (strstr(way, "long"))
        execveat(there, make_long(".", words[0], PATH_MAX - 1), words, environ, 0);
    else if (strncmp(way, "execveat", 8) == 0)
        execveat(there, words[0], words, environ, 0);
    else if (strncmp(way, "fexecve", 7) == 0)
        fexecve(fd, words, environ);
    else
        execveat(fd, "", words, environ, AT_EMPTY_PATH);
    return fail(errno);
}

int main(int argc, char **argv)
{
    CHECK(argc > 3);
    const char *way = argv[1], *dir = argv[2];
    char **words = argv + 3;
    if (strcmp(way, "vfork_chroot") == 0) {
        volatile int error = 0;
        pid_t pid = vfork();
        if (pid == 0) {
            if (chroot(dir) == 0 && chdir("/") == 0)
                execv(words[0], words);
            error = errno;
            _exit(99);
        }
        int status = wait_child(pid);
        return error ? fail(error) : status;
    }
    if (strncmp(way, "spawn", 5) == 0)
        return spawn_program(way, dir, words);
    if (strcmp(way, "execvp") == 0)
        execvp(words[0], words);
    else if (strcmp(way, "execvpe") == 0)
        execvpe(words[0], words, environ);
    else if (strcmp(way, "execlp") == 0)
        execlp(words[0], words[0], words[1], words[2], (char *)NULL);
    else if (strncmp(way, "exec", 4) == 0 || strncmp(way, "fexec", 5) == 0 || strncmp(way, "empty", 5) == 0)
        return exec_beneath(way, dir, words);
    else
        return run_shell(way, words[0]);
    return fail(errno);
}

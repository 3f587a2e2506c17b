/* Every way to start a program, with the environment kept and, where the call takes one, empty. The new program
 * must connect as its parent does. */
#include "app.h"
#include <spawn.h>

static char *self[5];

/* Called through pointers, because a compiler may replace a call by name with another function. */
typedef int list_fn(const char *path, const char *first, ...);
static list_fn *volatile by_path = execl, *volatile by_name = execlp, *volatile with_environment = execle;

enum way { EXECL, EXECLP, EXECLE, EXECV, EXECVP, EXECVE, EXECVPE, EXECVEAT, BENEATH, EMPTY, FEXECVE, EXECS };

static void start_program(enum way way, char **env)
{
    int dir = open("/proc/self", O_DIRECTORY | O_RDONLY), fd = open("/proc/self/exe", O_RDONLY);
    char *a = self[1], *b = self[2], *c = self[3];
    setenv("PATH", "/proc/self", 1);
    switch (way) {
    case EXECL:
        by_path("/proc/self/exe", "exe", a, b, c, (char *)NULL);
        break;
    case EXECLP:
        by_name("exe", "exe", a, b, c, (char *)NULL);
        break;
    case EXECLE:
        with_environment("/proc/self/exe", "exe", a, b, c, (char *)NULL, env);
        break;
    case EXECV:
        execv("/proc/self/exe", self);
        break;
    case EXECVP:
        execvp("exe", self);
        break;
    case EXECVE:
        execve("/proc/self/exe", self, env);
        break;
    case EXECVPE:
        execvpe("exe", self, env);
        break;
    case EXECVEAT:
        execveat(AT_FDCWD, "/proc/self/exe", self, env, 0);
        break;
    case BENEATH:
        execveat(dir, "exe", self, env, 0);
        break;
    case EMPTY:
        execveat(fd, "", self, env, AT_EMPTY_PATH);
        break;
    default:
        fexecve(fd, self, env);
    }
    FAIL("way %d", way);
}

static void check_missing(void)
{
    char *none[] = {NULL};
    CHECK(by_path("/proc/self/nothing", "nothing", (char *)NULL) == -1 && errno == ENOENT);
    CHECK(by_name("no-such-program", "nothing", (char *)NULL) == -1 && errno == ENOENT);
    CHECK(by_name("/proc/self/nothing", "nothing", (char *)NULL) == -1 && errno == ENOENT);
    CHECK(with_environment("/proc/self/nothing", "nothing", "more", (char *)NULL, none) == -1 && errno == ENOENT);
}

static void check_shells(const char *host, const char *port)
{
    char command[4200], exe[4096], said[16] = "";
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    CHECK(n > 0);
    exe[n] = 0;
    snprintf(command, sizeof command, "%s %s %s child", exe, host, port);
    CHECK(clearenv() == 0);
    CHECK(system(command) == 0);
    CHECK(clearenv() == 0);
    FILE *f = popen(command, "r");
    CHECK(f && fgets(said, sizeof said, f) && strcmp(said, "connected\n") == 0 && pclose(f) == 0);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    char *none[] = {NULL};
    pid_t pid;
    if (argc > 3) {
        echo(tcp_connect(&p), "started");
        puts("connected");
        return 0;
    }
    self[0] = argv[0], self[1] = argv[1], self[2] = argv[2], self[3] = (char *)"child";
    check_missing();
    for (enum way way = EXECL; way < EXECS; way++) {
        for (int empty = 0; empty < 2; empty++) {
            if ((pid = fork()) == 0)
                start_program(way, empty ? none : environ);
            child_ends(pid);
        }
    }
    for (int empty = 0; empty < 2; empty++) {
        char **env = empty ? none : environ;
        CHECK(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, self, env) == 0);
        child_ends(pid);
        setenv("PATH", "/proc/self", 1);
        CHECK(posix_spawnp(&pid, "exe", NULL, NULL, self, env) == 0);
        child_ends(pid);
    }
    CHECK(posix_spawn(&pid, "/proc/self/nothing", NULL, NULL, self, environ) == ENOENT);
    check_shells(argv[1], argv[2]);
    return 0;
}

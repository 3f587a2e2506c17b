/* posix_spawn with file actions: the connection becomes the child's standard input inside libc. */
#include "app.h"
#include <spawn.h>

extern char **environ;

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    if (argc > 3) {
        check_names(0, &p);
        echo(0, "spawned");
        int own = tcp_connect(&p);
        echo(own, "its own");
        return 0;
    }
    int fd = tcp_connect(&p);
    char *args[] = {argv[0], argv[1], argv[2], (char *)"child", NULL};
    posix_spawn_file_actions_t actions;
    CHECK(posix_spawn_file_actions_init(&actions) == 0);
    CHECK(posix_spawn_file_actions_adddup2(&actions, fd, 0) == 0);
    CHECK(posix_spawn_file_actions_addclose(&actions, fd) == 0);
    pid_t pid;
    errno = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, args, environ);
    CHECK(errno == 0);
    posix_spawn_file_actions_destroy(&actions);
    child_ends(pid);
    errno = posix_spawnp(&pid, "true", NULL, NULL, (char *[]){(char *)"true", NULL}, environ);
    CHECK(errno == 0);
    child_ends(pid);
    check_names(fd, &p);
    echo(fd, "the parent");
    return 0;
}

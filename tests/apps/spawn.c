/* posix_spawn with file actions. The connection is duplicated to a descriptor of the child within libc, and other
 * descriptors are closed or replaced there. */
#include "app.h"
#include <spawn.h>

extern char **environ;

enum way { ONE_CLOSED, CLOSED_FROM, EACH_CLOSED, EACH_REPLACED, EACH_OPENED, WAYS };

/* Adds an action for every open descriptor above FD. */
static void add_actions(posix_spawn_file_actions_t *actions, enum way way, int fd)
{
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    CHECK(folder);
    while ((entry = readdir(folder))) {
        int at = atoi(entry->d_name);
        if (at <= fd || at == dirfd(folder))
            continue;
        if (way == EACH_CLOSED)
            CHECK(posix_spawn_file_actions_addclose(actions, at) == 0);
        else if (way == EACH_REPLACED)
            CHECK(posix_spawn_file_actions_adddup2(actions, fd, at) == 0);
        else
            CHECK(posix_spawn_file_actions_addopen(actions, at, "/dev/null", O_RDONLY, 0) == 0);
    }
    closedir(folder);
}

static void spawn_child(enum way way, int fd, char **args, char **env)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    CHECK(posix_spawn_file_actions_init(&actions) == 0);
    CHECK(posix_spawn_file_actions_adddup2(&actions, fd, 0) == 0);
    if (way == ONE_CLOSED)
        CHECK(posix_spawn_file_actions_addclose(&actions, fd) == 0);
    else if (way == CLOSED_FROM)
        CHECK(posix_spawn_file_actions_addclosefrom_np(&actions, 3) == 0);
    else
        add_actions(&actions, way, fd);
    errno = posix_spawn(&pid, "/proc/self/exe", &actions, NULL, args, env);
    CHECK(errno == 0);
    posix_spawn_file_actions_destroy(&actions);
    child_ends(pid);
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    if (argc > 3) {
        check_names(0, &p);
        echo(0, "spawned");
        int own = tcp_connect(&p);
        CHECK(own == atoi(argv[3]) || !atoi(argv[3]));
        echo(own, "its own");
        return 0;
    }
    int fd = tcp_connect(&p);
    char *args[] = {argv[0], argv[1], argv[2], NULL, NULL}, *none[] = {NULL};
    for (enum way way = ONE_CLOSED; way < WAYS; way++) {
        args[3] = (char *)(way == CLOSED_FROM ? "3" : "0"); /* the lowest free number */
        spawn_child(way, fd, args, environ);
        spawn_child(way, fd, args, none);
    }
    pid_t pid;
    errno = posix_spawnp(&pid, "true", NULL, NULL, (char *[]){(char *)"true", NULL}, environ);
    CHECK(errno == 0);
    child_ends(pid);
    check_names(fd, &p);
    echo(fd, "the parent");
    return 0;
}

/* Ways by places and conditions in which the preloaded object cannot be opened, or cannot work. */
#include "way.h"
#include <link.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

extern char **environ;

static _Noreturn void execute_itself(const char *path)
{
    execve(path, way_arguments("udp4_sendto"), environ);
    way_end("execve", errno);
}

static void leave_mounts(void)
{
    way_need("unshare", unshare(CLONE_NEWNS));
    way_need("mount", mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

/* Mounts COVER on each object of LD_PRELOAD. */
static void cover_objects(const char *cover)
{
    char list[1024];
    snprintf(list, sizeof list, "%s", getenv("LD_PRELOAD") ? getenv("LD_PRELOAD") : "");
    for (char *rest = list, *path; (path = strsep(&rest, ": "));)
        if (*path)
            mount(cover, path, NULL, MS_BIND, NULL);
}

/* The object is another file in the child's mount namespace. */
static void object_hidden(void)
{
    leave_mounts();
    cover_objects("/dev/null");
    execute_itself("/proc/self/exe");
}

/* The child's user may not read the object. */
static void object_unreadable(void)
{
    char path[128];
    leave_mounts();
    snprintf(path, sizeof path, "%s/unreadable", way_folder());
    close(open(path, O_WRONLY | O_CREAT, 0600));
    cover_objects(path);
    way_need("setgid", setgid(65534));
    way_need("setuid", setuid(65534));
    execute_itself(way_program("ways"));
}

static void other_user(void)
{
    way_need("setgid", setgid(65534));
    way_need("setuid", setuid(65534));
    execute_itself(way_program("ways"));
}

static void other_user_same_program(void)
{
    way_need("setgid", setgid(65534));
    way_need("setuid", setuid(65534));
    way_done("sendto", sendto(way_socket(AF_INET, SOCK_DGRAM, 0), TEXT, 0, V4));
}

static void make_folders(char *path)
{
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        mkdir(path, 0755);
        *at = '/';
    }
}

/* Mounts FILE at the same path below ROOT. */
static void mount_below(const char *root, const char *file, const char *as)
{
    char path[1024];
    snprintf(path, sizeof path, "%s%s", root, as);
    make_folders(path);
    close(open(path, O_WRONLY | O_CREAT, 0755));
    way_need("mount", mount(file, path, NULL, MS_BIND, NULL));
}

static int mount_object(struct dl_phdr_info *object, size_t size, void *root)
{
    const char *preload = getenv("LD_PRELOAD"), *name = object->dlpi_name;
    (void)size;
    if (name[0] == '/' && (!preload || !strstr(preload, name)))
        mount_below(root, name, name);
    return 0;
}

/* Runs this program in a root folder that has nothing but it and its libraries. */
static void run_in_root(void)
{
    char root[64], own[512];
    snprintf(root, sizeof root, "%s", way_folder());
    snprintf(own, sizeof own, "%s", way_program("ways"));
    way_need("mount", mount("root", root, "tmpfs", 0, NULL));
    dl_iterate_phdr(mount_object, root);
    mount_below(root, own, "/ways");
    way_need("chroot", chroot(root));
    way_need("chdir", chdir("/"));
    execute_itself("/ways");
}

static void changed_root(void)
{
    leave_mounts();
    run_in_root();
}

static void changed_root_same_program(void)
{
    way_need("chroot", chroot(way_folder()));
    way_done("sendto", sendto(way_socket(AF_INET, SOCK_DGRAM, 0), TEXT, 0, V4));
}

static void write_file(const char *path, const char *format, unsigned number)
{
    char line[64];
    int n = snprintf(line, sizeof line, format, number);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    way_need(path, write(fd, line, (size_t)n));
    close(fd);
}

/* The same without rights, in a user namespace of its own. */
static void changed_root_user(void)
{
    const unsigned user = getuid(), group = getgid();
    way_need("unshare", unshare(CLONE_NEWUSER | CLONE_NEWNS));
    write_file("/proc/self/setgroups", "deny", 0);
    write_file("/proc/self/uid_map", "0 %u 1", user);
    write_file("/proc/self/gid_map", "0 %u 1", group);
    way_need("mount", mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    run_in_root();
}

static void closed_descriptors(void)
{
    close_range(3, ~0U, 0);
    way_done("sendto", sendto(way_socket(AF_INET, SOCK_DGRAM, 0), TEXT, 0, V4));
}

static void closed_descriptors_exec(void)
{
    close_range(3, ~0U, 0);
    clearenv();
    execute_itself("/proc/self/exe");
}

static void closed_descriptors_resolve(void)
{
    WAY_CALL(SYS_close_range, 3, ~0U, 0, 0, 0, 0);
    execve("/proc/self/exe", way_arguments("name_gethostbyname"), environ);
    way_end("execve", errno);
}

/* No descriptor is free but those of the sockets. */
static void no_descriptors(void)
{
    int datagram = way_socket(AF_INET, SOCK_DGRAM, 0),
        stream = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const struct rlimit limit = {3, 3};
    setrlimit(RLIMIT_NOFILE, &limit);
    connect(stream, V4);
    way_done("sendto", sendto(datagram, TEXT, 0, V4));
}

static void no_memory(void)
{
    int datagram = way_socket(AF_INET, SOCK_DGRAM, 0),
        stream = way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const struct rlimit limit = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_AS, &limit);
    connect(stream, V4);
    way_done("sendto", sendto(datagram, TEXT, 0, V4));
}

/* The next program can open no file besides those that the loader needs one after another. */
static void no_descriptors_exec(void)
{
    const struct rlimit limit = {5, 5};
    setrlimit(RLIMIT_NOFILE, &limit);
    execute_itself("/proc/self/exe");
}

const struct way place_ways[] = {
    {"object_hidden", object_hidden},
    {"object_unreadable", object_unreadable},
    {"other_user", other_user},
    {"other_user_same_program", other_user_same_program},
    {"changed_root", changed_root},
    {"changed_root_same_program", changed_root_same_program},
    {"changed_root_user", changed_root_user},
    {"closed_descriptors", closed_descriptors},
    {"closed_descriptors_exec", closed_descriptors_exec},
    {"closed_descriptors_resolve", closed_descriptors_resolve},
    {"no_descriptors", no_descriptors},
    {"no_memory", no_memory},
    {"no_descriptors_exec", no_descriptors_exec},
    {0},
};

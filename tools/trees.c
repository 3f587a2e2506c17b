/* Theory of operation: a tree is found by the shared memory that its processes map. The descriptor of it is in
 * /proc/PID/fd, with the name that memfd_create() was given, and the next number is the policy's. A program may have
 * closed both; then those of its parent are looked at, and so on, and at last its network namespace. Nothing is
 * believed before s5_shm_attach() has checked it. */
#include "trees.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHM_LINK       "/memfd:socksify (deleted)"
#define POLICY_LINK    "/memfd:socksify-policy (deleted)"
#define ANCESTORS_MOST 64
#define FDS_FROM       64

/* --- one process --- */

static bool has_link(pid_t pid, int fd, const char *target)
{
    char path[64], text[64];
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
    ssize_t n = readlink(path, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return strcmp(text, target) == 0;
}

/* Opens descriptor FD of PID. Returns a descriptor, or -1. */
static int open_fd(pid_t pid, int fd, int flags)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
    return open(path, flags | O_CLOEXEC);
}

/* Opens both descriptors of the shared memory that PID has at FD, with adjacent numbers. Returns the first, or
 * -errno. */
static int open_both(pid_t pid, int fd)
{
    int shm = open_fd(pid, fd, O_RDWR), policy = open_fd(pid, fd + 1, O_RDONLY);
    int both = shm >= 0 && policy >= 0 ? s5_shm_duplicate(shm, policy, FDS_FROM) : -EACCES;
    if (shm >= 0)
        close(shm);
    if (policy >= 0)
        close(policy);
    return both;
}

static void close_both(int fd)
{
    for (int i = 0; i < S5_SHM_FDS; i++)
        close(fd + i);
}

/* --- the list --- */

static void add_process(struct process_tree *programs, pid_t pid)
{
    for (unsigned i = 0; i < TREES_PROCESSES; i++)
        if (programs->processes[i] == 0) {
            programs->processes[i] = pid;
            return;
        }
}

/* Attaches to the shared memory of FD, whose inode is INODE. Returns false if it is not what it should be. */
static bool attach_programs(struct process_tree *ret, int fd, uint64_t inode)
{
    char value[S5_SHM_VALUE_MAX];
    struct s5_shm_location place;
    *ret = (struct process_tree){.fd = fd, .inode = inode};
    s5_shm_value(&(struct s5_shm_location){.fd = fd, .inode = inode}, value);
    return s5_shm_attach(value, &ret->shm, &place) == 0;
}

/* Adds the tree of the shared memory that PID has at FD to the N of LIST, or PID to the tree. Returns the new number,
 * or -errno. */
static int add_tree(struct process_tree *list, int n, pid_t pid, int fd)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
    if (stat(path, &st) < 0)
        return n;
    if (st.st_uid != geteuid())
        return -EACCES;
    for (int i = 0; i < n; i++)
        if (list[i].inode == st.st_ino) {
            add_process(&list[i], pid);
            return n;
        }
    int both = n < TREES_MAX ? open_both(pid, fd) : -EMFILE;
    if (both < 0)
        return both;
    if (!attach_programs(&list[n], both, st.st_ino)) {
        close_both(both);
        return n;
    }
    add_process(&list[n], pid);
    return n + 1;
}

/* Adds the trees of PID. Returns the new number, or -errno. */
static int add_process_trees(struct process_tree *list, int n, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return errno == EACCES ? -EACCES : -ESRCH;
    const struct dirent *entry;
    while (n >= 0 && (entry = readdir(directory))) {
        int fd = atoi(entry->d_name);
        if (isdigit((unsigned char)*entry->d_name) && has_link(pid, fd, SHM_LINK) && has_link(pid, fd + 1, POLICY_LINK))
            n = add_tree(list, n, pid, fd);
    }
    closedir(directory);
    return n;
}

static int compare_inodes(const void *a, const void *b)
{
    uint64_t one = ((const struct process_tree *)a)->inode, other = ((const struct process_tree *)b)->inode;
    return (one > other) - (one < other);
}

static int find_all(struct process_tree *ret)
{
    DIR *directory = opendir("/proc");
    const struct dirent *entry;
    int n = 0;
    while (directory && (entry = readdir(directory))) {
        pid_t pid = isdigit((unsigned char)*entry->d_name) ? (pid_t)atoi(entry->d_name) : 0;
        int found = pid > 0 && pid != getpid() ? add_process_trees(ret, n, pid) : n;
        if (found >= 0)
            n = found;
    }
    if (directory)
        closedir(directory);
    qsort(ret, (size_t)n, sizeof(*ret), compare_inodes);
    return n;
}

/* --- one tree --- */

/* Returns the parent of PID, or 0. */
static pid_t get_parent(pid_t pid)
{
    char path[64], line[256];
    int parent = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "PPid: %d", &parent) == 1)
            break;
    if (file)
        fclose(file);
    return (pid_t)parent;
}

/* A process that has closed the descriptors belongs to the tree of its parent. */
static int find_tree_of(struct process_tree *ret, pid_t pid)
{
    int n = add_process_trees(ret, 0, pid);
    for (int i = 0; n == 0 && i < ANCESTORS_MOST && (pid = get_parent(pid)) > 1; i++) {
        int found = add_process_trees(ret, 0, pid);
        n = found > 0 ? found : 0; /* an ancestor may be another user's */
    }
    return n;
}

/* --- the tree of a network namespace --- */

static int open_namespace(pid_t pid, const char *kind)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Joins the network namespace of PID, writes its cookie to FD, and ends this process. */
__attribute__((noreturn)) static void tell_cookie(pid_t pid, int fd)
{
    int user = open_namespace(pid, "user"), network = open_namespace(pid, "net");
    if (setns(network, CLONE_NEWNET) < 0) { /* this user has its rights in the user namespace that owns it */
        setns(user, CLONE_NEWUSER);
        if (setns(network, CLONE_NEWNET) < 0)
            _exit(1);
    }
    uint64_t cookie = s5_namespaces_own_cookie();
    _exit(write(fd, &cookie, sizeof(cookie)) != sizeof(cookie));
}

/* Returns the SO_NETNS_COOKIE of the network namespace of PID; 0: it cannot be joined. */
static uint64_t get_cookie(pid_t pid)
{
    int ends[2];
    uint64_t cookie = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return 0;
    pid_t child = fork();
    if (child == 0)
        tell_cookie(pid, ends[1]);
    close(ends[1]);
    if (child < 0 || read(ends[0], &cookie, sizeof(cookie)) != sizeof(cookie))
        cookie = 0;
    close(ends[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    return cookie;
}

static bool has_namespace(const struct s5_namespaces *n, uint64_t cookie)
{
    for (int i = 0; cookie && i < S5_NAMESPACES; i++)
        if (atomic_load(&n->cookies[i]) == cookie)
            return true;
    return false;
}

/* A process in a strict namespace has no descriptor of the tree. Its gateway, which is outside, has. */
static int find_tree_around(struct process_tree *ret, pid_t pid)
{
    uint64_t cookie = get_cookie(pid);
    int n = cookie && cookie != s5_namespaces_own_cookie() ? find_all(ret) : 0;
    for (int i = 0; i < n; i++)
        if (has_namespace(&ret[i].shm->namespaces, cookie)) {
            ret[0] = ret[i];
            return 1;
        }
    return 0;
}

int trees_find(struct process_tree *ret, pid_t process)
{
    int n = process ? find_tree_of(ret, process) : find_all(ret);
    return process && n == 0 ? find_tree_around(ret, process) : n;
}

/* --- the environment --- */

/* Reads the file PATH, which has no size. Returns new memory with two NULs more than it has, or NULL. */
static char *read_all(const char *path, size_t *ret_size)
{
    size_t size = 0, space = 65536;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd >= 0 ? malloc(space) : NULL;
    ssize_t n = 0;
    while (text && (n = read(fd, text + size, space - size - 2)) > 0) {
        size += (size_t)n;
        if (space - size < 4096) {
            char *more = realloc(text, space *= 2);
            if (!more) {
                free(text);
                text = NULL;
            } else
                text = more;
        }
    }
    if (fd >= 0)
        close(fd);
    if (text)
        text[size] = text[size + 1] = '\0';
    *ret_size = size;
    return text;
}

char **trees_environment(pid_t process)
{
    char path[64];
    size_t size, n = 0;
    snprintf(path, sizeof(path), "/proc/%d/environ", (int)process);
    char *text = read_all(path, &size);
    for (size_t i = 0; text && i < size; i++)
        n += text[i] == '\0';
    char **strings = text ? calloc(n + 2, sizeof(*strings)) : NULL;
    if (!strings) {
        free(text);
        return NULL;
    }
    n = 0;
    for (char *at = text; at < text + size && *at; at += strlen(at) + 1)
        strings[n++] = at;
    if (n == 0)
        free(text);
    return strings;
}

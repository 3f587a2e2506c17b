#include "caller.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

static int proc = -1;

void caller_begin(void)
{
    proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Reads the beginning of file NAME of TASK. Returns the number of octets, or -1. */
static ssize_t read_proc_file(pid_t task, const char *name, char *ret, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "%d/%s", (int)task, name);
    int fd = proc < 0 ? -1 : openat(proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
    if (fd >= 0)
        close(fd);
    ret[n > 0 ? n : 0] = '\0';
    return n;
}

void caller_program(pid_t task, char ret[static 16])
{
    char line[32];
    read_proc_file(task, "comm", line, sizeof(line));
    line[strcspn(line, "\n")] = '\0';
    snprintf(ret, 16, "%.15s", *line ? line : "?");
}

pid_t caller_process(pid_t task)
{
    char text[512];
    read_proc_file(task, "status", text, sizeof(text));
    const char *at = strstr(text, "\nTgid:");
    long process = at ? strtol(at + sizeof("\nTgid:") - 1, NULL, 10) : 0;
    return process > 0 ? (pid_t)process : task;
}

bool caller_ids(pid_t task, uid_t *ret_uid, gid_t *ret_gid)
{
    char text[2048];
    unsigned uid, gid;
    read_proc_file(task, "status", text, sizeof(text));
    const char *users = strstr(text, "\nUid:"), *groups = strstr(text, "\nGid:");
    if (!users || !groups || sscanf(users, "\nUid: %*u %u", &uid) != 1 || sscanf(groups, "\nGid: %*u %u", &gid) != 1)
        return false;
    *ret_uid = (uid_t)uid;
    *ret_gid = (gid_t)gid;
    return true;
}

bool caller_memory(pid_t task, uint64_t address, void *ret, size_t size)
{
    struct iovec to = {ret, size}, from = {(void *)(uintptr_t)address, size};
    return process_vm_readv(task, &to, 1, &from, 1, 0) == (ssize_t)size;
}

/* Stores the path of TASK's descriptor FD in RET. */
static void make_fd_path(char *ret, size_t size, pid_t task, int fd)
{
    snprintf(ret, size, "/proc/%d/fd/%d", (int)task, fd);
}

int caller_socket(pid_t task, int fd, char *ret, size_t size)
{
    char path[48], target[16];
    make_fd_path(path, sizeof(path), task, fd);
    /* Only a socket is asked for its protocol: another file may be of a file system that waits for this process. */
    ssize_t n = readlink(path, target, sizeof(target));
    if (n < 0)
        return -errno;
    if (n < (ssize_t)sizeof("socket:") - 1 || memcmp(target, "socket:", sizeof("socket:") - 1) != 0)
        return -ENOTSUP;
    n = getxattr(path, "system.sockprotoname", ret, size - 1);
    if (n < 0)
        return -EACCES;
    ret[n] = '\0';
    return 0;
}

/* A file in /proc/PID/net is one for each network namespace, and nobody needs the right to trace PID for it. */
static void make_network_path(char *ret, size_t size, pid_t task)
{
    snprintf(ret, size, "%d/net/dev", (int)task);
}

int caller_open_network(pid_t task, uint64_t *ret)
{
    char path[32];
    struct stat st;
    make_network_path(path, sizeof(path), task);
    int fd = proc < 0 ? -1 : openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0) {
        *ret = (uint64_t)st.st_ino;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

bool caller_network(pid_t task, uint64_t *ret)
{
    char path[32];
    struct stat st;
    make_network_path(path, sizeof(path), task);
    if (proc < 0 || fstatat(proc, path, &st, 0) < 0)
        return false;
    *ret = (uint64_t)st.st_ino;
    return true;
}

static bool has_socket(pid_t process, const char *wanted)
{
    char path[48], target[64];
    bool has = false;
    snprintf(path, sizeof(path), "%d/fd", (int)process);
    int fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *d; list && !has && (d = readdir(list));) {
        ssize_t n = readlinkat(dirfd(list), d->d_name, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        has = strcmp(target, wanted) == 0;
    }
    if (list)
        closedir(list);
    else if (fd >= 0)
        close(fd);
    return has;
}

/* The time at which PROCESS started, in ticks: field 22 of its stat file, the 20th after the name. */
static uint64_t read_start_time(pid_t process)
{
    char text[1024];
    read_proc_file(process, "stat", text, sizeof(text));
    const char *at = strrchr(text, ')');
    for (int i = 0; at && i < 20; i++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

pid_t caller_find_owner(uint64_t network, uint32_t inode, uint64_t *ret_process)
{
    static pid_t last; /* programs make several connections one after another */
    char wanted[32];
    uint64_t there;
    pid_t found = 0;
    snprintf(wanted, sizeof(wanted), "socket:[%u]", inode);
    if (last > 0 && has_socket(last, wanted))
        found = last;
    DIR *list = found || proc < 0 ? NULL : fdopendir(openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (struct dirent *d; list && !found && (d = readdir(list));) {
        pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);
        if (pid > 0 && caller_network(pid, &there) && there == network && has_socket(pid, wanted))
            found = pid;
    }
    if (list)
        closedir(list);
    last = found;
    *ret_process = found ? (uint64_t)found << 32 ^ read_start_time(found) : 0;
    return found;
}

static int take_fd(pid_t process, int fd)
{
    int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
    int got = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    if (pidfd >= 0)
        close(pidfd);
    return got;
}

/* The caller's own opening of the file is best: a regular file has a position, and the terminal or pipe of another user
 * cannot be opened again. Where the caller may not be traced, the file is opened once more. */
int caller_file(pid_t task, int fd, uint64_t dev, uint64_t ino)
{
    char path[48];
    struct stat st;
    pid_t process = caller_process(task);
    make_fd_path(path, sizeof(path), process, fd);
    if (stat(path, &st) < 0 || (uint64_t)st.st_dev != dev || (uint64_t)st.st_ino != ino)
        return -1;
    int got = take_fd(process, fd);
    if (got < 0)
        got = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (got >= 0 && (fstat(got, &st) < 0 || (uint64_t)st.st_dev != dev || (uint64_t)st.st_ino != ino)) {
        close(got); /* the number has another file by now */
        got = -1;
    }
    return got;
}

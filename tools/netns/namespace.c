/* Theory of operation
 *
 * An ordinary user needs a user namespace. Its map has one entry, the user: other owners of files show as nobody, and
 * programs with a set-user-ID bit gain nothing. Root needs none, so that owners of files stay true.
 *
 * All settings are made by this process, because an exec with an identity map drops the rights that the user namespace
 * gives.
 *
 * Each command has a mount namespace of its own, derived from the one that it was started in: its root directory and
 * its current directory stay. One tmpfs in it has the files that cover others. Its end tells the gateway that no
 * process is left. */
#include "namespace.h"
#include "kernel_parts.h"
#include "rules.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool fail_step(struct namespace_problem *why, const char *step)
{
    *why = (struct namespace_problem){step, errno};
    return false;
}

bool namespace_write(const char *path, const char *text, struct namespace_problem *why)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (!written)
        fail_step(why, path);
    if (fd >= 0)
        close(fd);
    return written;
}

/* ---- Creating and joining ---- */

static bool write_maps(uid_t uid, gid_t gid, struct namespace_problem *why)
{
    char map[64];
    if (!namespace_write("/proc/self/setgroups", "deny", why))
        return false;
    snprintf(map, sizeof(map), "%u %u 1", (unsigned)uid, (unsigned)uid);
    if (!namespace_write("/proc/self/uid_map", map, why))
        return false;
    snprintf(map, sizeof(map), "%u %u 1", (unsigned)gid, (unsigned)gid);
    return namespace_write("/proc/self/gid_map", map, why);
}

bool namespace_create(bool *ret_user, struct namespace_problem *why)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    *ret_user = false;
    if (uid == 0 && unshare(CLONE_NEWNET) == 0)
        return true;
    *ret_user = true;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return fail_step(why, "unshare");
    return write_maps(uid, gid, why);
}

const char namespace_join_step[] = "setns";

bool namespace_join(int userns, int netns, struct namespace_problem *why)
{
    if (userns >= 0 && setns(userns, CLONE_NEWUSER) < 0)
        return fail_step(why, namespace_join_step);
    return setns(netns, CLONE_NEWNET) == 0 || fail_step(why, userns >= 0 ? "network namespace" : namespace_join_step);
}

/* ---- Mounts ---- */

/* Directories that hardly any program uses. The tmpfs is mounted on the first that exists. */
static const char *const places[] = {"/proc/sys/fs/binfmt_misc", "/mnt", "/media", "/srv", NULL};

/* Directories with sockets of daemons that query the network for others: nscd, systemd-resolved, avahi-daemon. */
static const char *const masked[] = {"/run/nscd", "/var/run/nscd", "/run/systemd/resolve", "/run/avahi-daemon", NULL};

static bool mount_tmpfs(char ret_place[static PATH_MAX], int *ret_fd, struct namespace_problem *why)
{
    *ret_fd = -1;
    errno = ENOENT;
    for (const char *const *p = places; *p && *ret_fd < 0; p++)
        if (mount("socksify", *p, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k,mode=755") == 0) {
            *ret_fd = open(*p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            snprintf(ret_place, PATH_MAX, "%s", *p);
        }
    return *ret_fd >= 0 || fail_step(why, "mount");
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "::1", 3) == 0;
}

/* Copies resolv.conf to FD without its lists of domains: a query for a name with a domain behind it would be answered
 * like any other. A name server on loopback is one outside. */
static void copy_resolv_conf(int fd)
{
    char line[1024], address[64];
    bool any = false;
    FILE *from = fopen("/etc/resolv.conf", "re");
    while (from && fgets(line, sizeof(line), from)) {
        bool server = sscanf(line, " nameserver %63s", address) == 1;
        any = any || server;
        if (server && is_loopback(address))
            dprintf(fd, "nameserver " RULES_DNS4 "\n");
        else if (strncmp(line, "search", 6) != 0 && strncmp(line, "domain", 6) != 0)
            dprintf(fd, "%s", line);
    }
    if (from)
        fclose(from);
    if (!any)
        dprintf(fd, "nameserver " RULES_DNS4 "\n");
}

/* Covers DIRECTORY by the new subdirectory NAME of the tmpfs. */
static bool hide_directory(const char *place, int at, const char *name, const char *directory,
                           struct namespace_problem *why)
{
    char source[PATH_MAX + 16];
    struct stat st;
    if (stat(directory, &st) < 0 || !S_ISDIR(st.st_mode))
        return true;
    if (mkdirat(at, name, 0755) < 0 && errno != EEXIST)
        return fail_step(why, "mkdir");
    snprintf(source, sizeof(source), "%s/%s", place, name);
    return mount(source, directory, NULL, MS_BIND, NULL) == 0 || errno == EINVAL || fail_step(why, directory);
}

static void copy_file(int from_dir, int to_dir, const char *name)
{
    char buf[4096];
    int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int to = from < 0 ? -1 : openat(to_dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    for (ssize_t n; to >= 0 && (n = read(from, buf, sizeof(buf))) > 0;)
        (void)!write(to, buf, (size_t)n);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
}

/* ssh refuses files that belong neither to root nor to the user. Copies in the tmpfs belong to the user. */
static bool replace_ssh_files(const char *place, int at, struct namespace_problem *why)
{
    static const char directory[] = "/etc/ssh/ssh_config.d";
    int from = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = from < 0 ? NULL : fdopendir(from);
    if (!list)
        return true;
    mkdirat(at, "ssh", 0755);
    int to = openat(at, "ssh", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (struct dirent *d; to >= 0 && (d = readdir(list));)
        if (d->d_name[0] != '.')
            copy_file(from, to, d->d_name);
    closedir(list);
    if (to >= 0)
        close(to);
    return hide_directory(place, at, "ssh", directory, why);
}

/* Puts the copy of resolv.conf where /etc/resolv.conf leads to. */
static bool replace_resolv_conf(const char *place, const char *target, struct namespace_problem *why)
{
    char source[PATH_MAX + 16];
    struct stat st;
    snprintf(source, sizeof(source), "%s/resolv.conf", place);
    if (stat(target, &st) == 0)
        return mount(source, target, NULL, MS_BIND, NULL) == 0 || fail_step(why, target);
    /* It was in a directory that is masked now, which is in the tmpfs. */
    int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0) {
        copy_resolv_conf(fd);
        close(fd);
    }
    return true;
}

static bool fill_tmpfs(const char *place, int at, const struct namespace_mounts *how, struct namespace_problem *why)
{
    char target[PATH_MAX], name[16];
    bool known = realpath("/etc/resolv.conf", target) != NULL;
    int fd = openat(at, "resolv.conf", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail_step(why, "resolv.conf");
    copy_resolv_conf(fd);
    close(fd);
    for (int i = 0; masked[i]; i++) {
        snprintf(name, sizeof(name), "%d", i);
        if (!hide_directory(place, at, name, masked[i], why))
            return false;
    }
    if (how->mask_dbus && !hide_directory(place, at, "dbus", "/run/dbus", why))
        return false;
    if (how->foreign && !replace_ssh_files(place, at, why))
        return false;
    return !known || replace_resolv_conf(place, target, why);
}

int namespace_mount(const struct namespace_mounts *how, struct namespace_problem *why)
{
    char place[PATH_MAX];
    int fd;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
        fail_step(why, "mount");
        return -1;
    }
    if (!mount_tmpfs(place, &fd, why))
        return -1;
    if (fill_tmpfs(place, fd, how, why))
        return fd;
    close(fd);
    return -1;
}

/* ---- Rights ---- */

/* What root could change or leave the namespaces by. */
static const int leaving[] = {CAP_NET_ADMIN, CAP_SYS_ADMIN,        CAP_SYS_PTRACE,   CAP_SYS_MODULE,
                              CAP_SYS_RAWIO, 38 /* CAP_PERFMON */, 39 /* CAP_BPF */, 40 /* CAP_CHECKPOINT_RESTORE */};

/* CAP_SETFCAP stays: root of a user namespace needs it for a further one. CAP_NET_RAW stays for ping, whose file has
 * it: no raw packet leaves the namespace either. */
static bool drop_bounding(bool user)
{
    if (!user) {
        for (size_t i = 0; i < sizeof(leaving) / sizeof(*leaving); i++)
            if (prctl(PR_CAPBSET_DROP, leaving[i]) < 0 && errno != EINVAL)
                return false;
        return true;
    }
    for (int i = 0; i < 64; i++)
        if (i != CAP_SETFCAP && i != CAP_NET_RAW && prctl(PR_CAPBSET_DROP, i) < 0)
            return errno == EINVAL; /* the kernel knows no more */
    return true;
}

bool namespace_drop_rights(bool user, struct namespace_problem *why)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];
    if (!drop_bounding(user) || syscall(SYS_capget, &head, sets) < 0)
        return fail_step(why, "capabilities");
    if (user)
        memset(sets, 0, sizeof(sets));
    for (size_t i = 0; !user && i < sizeof(leaving) / sizeof(*leaving); i++) {
        uint32_t keep = ~(1u << leaving[i] % 32);
        sets[leaving[i] / 32].effective &= keep;
        sets[leaving[i] / 32].permitted &= keep;
        sets[leaving[i] / 32].inheritable &= keep;
    }
    return syscall(SYS_capset, &head, sets) == 0 || fail_step(why, "capabilities");
}

/* ---- Advice ---- */

/* Returns the number in the file PATH, or -1. */
static long read_number(const char *path)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    return n > 0 ? strtol(text, NULL, 10) : -1;
}

/* What prevents a step for which there are rights in the user namespace. UNSHARED: that one was made. */
static const char *advise_on_rights(const struct namespace_problem *why, bool unshared)
{
    if (!unshared && read_number("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        return "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1";
    if (read_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
        return "AppArmor restricts user namespaces: load the profile of socksify's package";
    if (!unshared)
        return "a container or its seccomp profile forbids namespaces: run socksify outside of it";
    if (strcmp(why->step, "mount") == 0)
        return "a container or its security profile forbids mounts: run socksify outside of it";
    if (strcmp(why->step, "/proc/self/uid_map") == 0)
        return "root lacks CAP_SETFCAP: keep that capability, or run socksify as another user";
    return "";
}

/* Whether STEP needs parts of the kernel that may be modules. */
static bool is_part_of_kernel(const char *step)
{
    static const char *const steps[] = {"nftables", "sockets", "nfnetlink_queue", "tcp_diag", "udp_diag"};
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
        if (strcmp(step, steps[i]) == 0)
            return true;
    return false;
}

const char *namespace_advice(const struct namespace_problem *why)
{
    bool unshared = strcmp(why->step, "unshare") != 0;
    if (why->error == ENOSPC && (!unshared || strcmp(why->step, "mount") == 0))
        return "raise the limit: sysctl user.max_user_namespaces, user.max_net_namespaces and user.max_mnt_namespaces";
    if (why->error == EPERM || why->error == EACCES)
        return advise_on_rights(why, unshared);
    if (strncmp(why->step, "/proc/", 6) == 0 && why->error == ENOENT)
        return "mount /proc";
    if (strcmp(why->step, "mount") == 0 && why->error == EINVAL)
        return "the root directory is no mount point: mount --bind it on itself before chroot";
    if (is_part_of_kernel(why->step) &&
        (why->error == ENOENT || why->error == EOPNOTSUPP || why->error == EPROTONOSUPPORT))
        return "load the kernel modules: modprobe -a " KERNEL_PARTS_MODULES;
    return "";
}

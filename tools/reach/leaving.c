#include "leaving.h"
#include "fence.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int get_option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

static bool is_connected_stream(int fd)
{
    struct tcp_info info = {.tcpi_state = TCP_CLOSE};
    socklen_t len = sizeof(info);
    if (get_option(fd, SO_PROTOCOL) != IPPROTO_TCP || get_option(fd, SO_TYPE) != SOCK_STREAM)
        return false;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state != TCP_CLOSE &&
           info.tcpi_state != TCP_SYN_SENT;
}

/* Returns what the socket FD is, if it must not stay; else NULL. */
static const char *judge_socket(int fd, bool strict)
{
    switch (get_option(fd, SO_DOMAIN)) {
    case -1: /* no socket */
    case AF_UNIX:
    case AF_ALG:
        return NULL;
    case AF_INET:
    case AF_INET6:
        if (get_option(fd, SO_TYPE) == SOCK_STREAM)
            return !strict && is_connected_stream(fd) ? NULL : "a TCP socket";
        return get_option(fd, SO_TYPE) == SOCK_DGRAM ? "a UDP socket" : "a raw socket";
    case AF_PACKET:
        return "a packet socket";
    case AF_NETLINK:
        return "a netlink socket";
    default:
        return "a socket of another family";
    }
}

/* Replaces the descriptor FD by /dev/null, with its flag. */
static int replace_by_null(int fd)
{
    int flags = fcntl(fd, F_GETFD), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int result = null < 0 || dup3(null, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0 ? -errno : 0;
    if (null >= 0)
        close(null);
    return result;
}

int leaving_close_sockets(bool strict, void (*report)(int fd, const char *what))
{
    DIR *list = opendir("/proc/self/fd");
    int result = list ? 0 : -errno;
    for (struct dirent *d; result == 0 && (d = readdir(list));) {
        char *end;
        long fd = strtol(d->d_name, &end, 10);
        if (*end || fd == dirfd(list) || fcntl((int)fd, F_GETFD) & FD_CLOEXEC)
            continue;
        const char *what = judge_socket((int)fd, strict);
        if (!what)
            continue;
        report((int)fd, what);
        result = replace_by_null((int)fd);
    }
    if (list)
        closedir(list);
    return result;
}

int leaving_install_filter(bool strict)
{
    int result = s5_fence_install_families(strict);
    return result == -ENOSYS ? 0 : result; /* a machine without filters */
}

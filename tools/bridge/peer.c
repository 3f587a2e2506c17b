/* The kernel's tables of sockets, /proc/net/tcp and so on: a row begins "sl local remote st ...", an
 * address is its octets as host-order words in hexadecimal, a colon and the port; the owner's number
 * is the eighth column. UDP sockets are looked for by their local port, bound to any address. */
#include "peer.h"
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned port_of(const struct sockaddr *sa)
{
    return ntohs(sa->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port
                                           : ((const struct sockaddr_in *)sa)->sin_port);
}

/* Whether a row of PATH with LOCAL as its port, and REMOTE as the other's unless 0, is our user's;
 * and none another's. 1, 0, or -1 where there is no such row. */
static int look(const char *path, unsigned local, unsigned remote)
{
    char line[512];
    int found = -1;
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    while (fgets(line, sizeof line, f)) {
        unsigned from, to, uid;
        if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%x %*x %*x:%*x %*x:%*x %*x %u", &from, &to, &uid) != 3 ||
            from != local || (remote && to != remote))
            continue;
        found = found != 0 && uid == geteuid();
    }
    fclose(f);
    return found;
}

bool peer_is_same_user(int fd, const struct sockaddr *peer, socklen_t len)
{
    struct sockaddr_storage own;
    socklen_t own_len = sizeof own, type_len = sizeof(int);
    int type = 0;
    (void)len;
    if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0)
        return false;
    bool tcp = type == SOCK_STREAM;
    unsigned to = tcp ? port_of((struct sockaddr *)&own) : 0;
    int a = look(tcp ? "/proc/net/tcp" : "/proc/net/udp", port_of(peer), to);
    int b = look(tcp ? "/proc/net/tcp6" : "/proc/net/udp6", port_of(peer), to);
    return a != 0 && b != 0 && (a > 0 || b > 0);
}

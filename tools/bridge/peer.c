/* Reads the tables of sockets of the kernel: /proc/net/tcp, tcp6, udp and udp6. A row begins "sl local remote st ...".
 * An address is its octets as host-order words in hexadecimal, a colon and the port. The eighth column is the user ID
 * of the owner. UDP sockets are found by their local port, whatever address they are bound to. */
#include "peer.h"
#include "endpoint.h"
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Checks the rows of PATH with the local port LOCAL and, unless REMOTE is 0, the remote port REMOTE. Returns 1 if all
 * of them belong to the user of this process, 0 if one belongs to another user, -1 if there is no such row. */
static int check_owner(const char *path, unsigned local, unsigned remote)
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
    unsigned to = tcp ? s5_endpoint_port((struct sockaddr *)&own) : 0;
    int a = check_owner(tcp ? "/proc/net/tcp" : "/proc/net/udp", s5_endpoint_port(peer), to);
    int b = check_owner(tcp ? "/proc/net/tcp6" : "/proc/net/udp6", s5_endpoint_port(peer), to);
    return a != 0 && b != 0 && (a > 0 || b > 0);
}

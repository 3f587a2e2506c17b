/* Sends "go" to HOST PORT and receives many datagrams at a time, with their sources and times, until one contains
 * "end". Prints them. */
#include "app.h"
#include <sys/uio.h>

enum { MANY = 16 };

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    static char buf[MANY][8], control[MANY][64];
    struct sockaddr_storage from[MANY];
    struct iovec iov[MANY];
    struct mmsghdr m[MANY];
    struct timespec limit = {20, 0};
    int on = 1, fd = socket(p.family, SOCK_DGRAM, 0);
    CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on) == 0);
    CHECK(sendto(fd, "go", 2, 0, peer_addr(&p), p.len) == 2);
    usleep(500000); /* waits until all have arrived */
    for (bool ended = false; !ended;) {
        for (int i = 0; i < MANY; i++) {
            iov[i] = (struct iovec){buf[i], sizeof buf[i]};
            m[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i],
                                           .msg_iov = &iov[i], .msg_iovlen = 1,
                                           .msg_control = control[i],
                                           .msg_controllen = sizeof control[i]};
        }
        int n = recvmmsg(fd, m, MANY, MSG_WAITFORONE, &limit);
        CHECK(n > 0);
        for (int i = 0; i < n; i++) {
            const struct sockaddr_in *a = (const struct sockaddr_in *)&from[i];
            const struct cmsghdr *c = CMSG_FIRSTHDR(&m[i].msg_hdr);
            int len = (int)(m[i].msg_len < sizeof buf[i] ? m[i].msg_len : sizeof buf[i]);
            CHECK(m[i].msg_hdr.msg_namelen == p.len && c && c->cmsg_type == SO_TIMESTAMP);
            printf("%.*s%s from port %d\n", len, buf[i],
                   m[i].msg_hdr.msg_flags & MSG_TRUNC ? " (cut)" : "", ntohs(a->sin_port));
            ended |= len == 3 && memcmp(buf[i], "end", 3) == 0;
        }
    }
    return 0;
}

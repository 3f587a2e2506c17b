#include "handover.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD offsetof(struct handover, fds)

void handover_clear(struct handover *h, enum handover_kind kind)
{
    *h = (struct handover){.kind = kind};
    for (int i = 0; i < HANDOVER_FDS; i++)
        h->fds[i] = -1;
}

void handover_close(struct handover *h)
{
    for (int i = 0; i < HANDOVER_FDS; i++) {
        if (h->fds[i] >= 0)
            close(h->fds[i]);
        h->fds[i] = -1;
    }
}

union control {
    struct cmsghdr header;
    char octets[CMSG_SPACE(sizeof(int) * HANDOVER_FDS)];
};

int handover_send(int channel, struct handover *h)
{
    union control control;
    struct iovec iov = {h, HEAD};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    int fds[HANDOVER_FDS], n = 0;
    h->present = 0;
    for (int i = 0; i < HANDOVER_FDS; i++)
        if (h->fds[i] >= 0) {
            h->present |= 1u << i;
            fds[n++] = h->fds[i];
        }
    if (n > 0) {
        memset(&control, 0, sizeof(control));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * (size_t)n);
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n);
    }
    ssize_t r;
    do
        r = sendmsg(channel, &m, MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

/* Stores the N descriptors FDS in H, by the bits of H->present. Returns false if their number is another. */
static bool assign_fds(struct handover *h, const int *fds, int n)
{
    int at = 0;
    for (int i = 0; i < HANDOVER_FDS; i++)
        if (h->present & 1u << i) {
            if (at == n)
                return false;
            h->fds[i] = fds[at++];
        }
    return at == n;
}

int handover_receive(int channel, struct handover *ret)
{
    union control control;
    struct iovec iov = {ret, HEAD};
    /* Not all of CONTROL: its padding may have space for one more descriptor. */
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = CMSG_LEN(sizeof(int) * HANDOVER_FDS)};
    int fds[HANDOVER_FDS], n = 0;
    ssize_t r;
    handover_clear(ret, HANDOVER_REPLY);
    do
        r = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && n == 0) {
            n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds, CMSG_DATA(c), sizeof(int) * (size_t)n);
        }
    bool good = r == (ssize_t)HEAD && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && assign_fds(ret, fds, n);
    if (!good) {
        for (int i = 0; i < n; i++)
            close(fds[i]);
        handover_clear(ret, HANDOVER_REPLY);
    }
    return good ? 0 : r == 0 && n == 0 ? -ECONNRESET : -EPROTO;
}

unsigned handover_address(struct sockaddr_un *ret, const uint64_t id[2], uid_t uid)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "socks5-gateway-%016llx%016llx-%u",
                     (unsigned long long)id[0], (unsigned long long)id[1], (unsigned)uid);
    return (unsigned)(offsetof(struct sockaddr_un, sun_path) + 1) + (unsigned)n;
}

bool handover_is_own_user(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

/* Datagrams out: the header goes in front as a buffer of its own, so that long ones are not copied,
 * and a batch stays one system call. A short datagram of one buffer, to whom others went before, is
 * copied behind its header: that costs less than to have the kernel gather it. */
#include "associate.h"
#include "scatter.h"
#include <alloca.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#define NEAR_IOVS  16
#define FLAT       2048       /* octets of a datagram that is copied, with its header */
#define NOT_SO     (-EUCLEAN) /* never seen outside */
#define BATCH      64  /* messages of one real sendmmsg() */
#define BATCH_IOVS 256 /* their buffers, headers among them */
#define IOVS_MAX   1024

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* The kernel would cut the datagram, and put the header before the first piece alone. Programs know
 * this error from devices that cannot do it. */
static bool wants_cutting(const struct msghdr *msg)
{
    if (!msg->msg_control || msg->msg_controllen < sizeof(struct cmsghdr))
        return false;
    struct msghdr *m = (struct msghdr *)(uintptr_t)msg;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT)
            return true;
    return false;
}

/* What MSG begins with: 0; 1: it goes as it is, to whom the kernel's socket is connected to; or
 * -errno. */
static int heading_of(struct s5_engine *e, struct s5_association *a, const struct msghdr *msg,
                      struct s5_heading *ret)
{
    if (msg->msg_name && msg->msg_namelen)
        return s5_target_heading(e, a, msg->msg_name, msg->msg_namelen, ret);
    if (a->peer.len)
        return s5_target_heading(e, a, &a->peer.any, a->peer.len, ret);
    if (a->mixed) /* the kernel knows who it is connected to: nobody, or a direct destination */
        return 1;
    return -EDESTADDRREQ;
}

static void to_relay(struct s5_association *a, struct msghdr *m, struct s5_endpoint *relay)
{
    if (!a->mixed) {
        m->msg_name = NULL;
        m->msg_namelen = 0;
        return;
    }
    *relay = s5_associate_relay(a);
    m->msg_name = &relay->any;
    m->msg_namelen = relay->len;
}

static ssize_t as_it_is(struct s5_engine *e, struct s5_association *a, int fd,
                        const struct msghdr *msg, int flags, bool direct)
{
    int r = direct ? s5_associate_mix(e, a, fd) : 0;
    if (r < 0)
        return r;
    ssize_t n = e->real->sendmsg(fd, msg, flags);
    return n < 0 ? -errno : n;
}

/* The relay's port, or what is on the way to it, has complained about a datagram before: this one
 * has not left yet. */
static bool is_about_relay(int error)
{
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH;
}

/* The error of the real call on FD: 0 when the call is to be made again, -errno. LOST: the datagram
 * counts as lost on its way. */
static int recover(struct s5_engine *e, struct s5_association *a, int fd, int error, int tries)
{
    if (error == ENOTSOCK || error == EDESTADDRREQ || error == ENOTCONN || error == EISCONN)
        return s5_connect_stale(e, fd) ? -ESTALE : -error;
    if (!is_about_relay(error) || a->mixed || tries > 1)
        return -error;
    return s5_associate_fresh(e, a, fd, true);
}

static bool is_short(const struct s5_association *a, const struct msghdr *msg, int flags)
{
    return msg->msg_iovlen == 1 && msg->msg_iov->iov_len <= FLAT - S5_DATAGRAM_MAX &&
           !(a->mixed | a->corked) && !msg->msg_controllen && !(flags & (MSG_ZEROCOPY | MSG_MORE));
}

/* A short one; NOT_SO: it has not gone, and may not be one. */
static ssize_t send_short(struct s5_engine *e, struct s5_association *a, int fd,
                          const struct msghdr *msg, int flags)
{
    uint8_t flat[FLAT];
    bool named = msg->msg_name && msg->msg_namelen;
    size_t len = msg->msg_iov->iov_len,
           head = s5_target_recall(a, named ? msg->msg_name : &a->peer.any,
                                   named ? msg->msg_namelen : a->peer.len, flat);
    unsigned fragment = e->policy->servers[a->server_index].fragment;
    if (!head || (fragment && head + len > fragment))
        return NOT_SO;
    int r = s5_associate_fresh(e, a, fd, false);
    if (r == 0) {
        if (len)
            memcpy(flat + head, msg->msg_iov->iov_base, len);
        ssize_t n = e->real->send(fd, flat, head + len, flags);
        if (n >= (ssize_t)head)
            return n - (ssize_t)head;
        r = n >= 0 ? -EMSGSIZE : recover(e, a, fd, errno, 0);
        if (r == 0)
            return NOT_SO;
    }
    return r == S5_ASSOCIATE_LOST ? (ssize_t)len : r;
}

static ssize_t through(struct s5_engine *e, struct s5_association *a, int fd, struct msghdr *m,
                       int flags, const struct s5_heading *heading)
{
    struct s5_endpoint relay;
    size_t size = s5_scatter_size(m->msg_iov + 1, m->msg_iovlen - 1);
    int r = s5_associate_fresh(e, a, fd, false);
    for (int tries = 0; r == 0; tries++) {
        to_relay(a, m, &relay);
        ssize_t n = e->real->sendmsg(fd, m, flags);
        if (n >= heading->len)
            return n - heading->len;
        if (n >= 0)
            return -EMSGSIZE; /* no datagram socket (any more) */
        r = recover(e, a, fd, errno, tries);
    }
    return r == S5_ASSOCIATE_LOST ? (ssize_t)size : r;
}

/* --- in pieces --- */

/* How many pieces MSG behind LEN octets of header makes, with *RET_ROOM octets in each: 1 where the server
 * is not to get any, -EMSGSIZE. A datagram that is being put together is nobody's to cut. */
static int pieces_of(const struct s5_engine *e, const struct s5_association *a,
                     const struct msghdr *msg, size_t len, int flags, size_t *ret_room)
{
    const struct s5_server *server = &e->policy->servers[a->server_index];
    size_t most = server->fragment ? server->fragment : server->datagram_most;
    if (!most || a->corked || (flags & MSG_MORE))
        return 1;
    if (server->datagram_most && most > server->datagram_most)
        most = server->datagram_most;
    size_t size = s5_scatter_size(msg->msg_iov, msg->msg_iovlen);
    if (size + len <= most)
        return 1;
    if (!server->fragment)
        return -EMSGSIZE;
    *ret_room = most - len;
    unsigned count = size > S5_FRAGMENTS_MAX ? 0 : s5_fragments_count(size, *ret_room);
    return count ? (int)count : -EMSGSIZE;
}

/* The SIZE octets of MSG from AT on, as buffers in IOV; their number. */
static size_t cut(const struct msghdr *msg, size_t at, size_t size, struct iovec *iov)
{
    size_t n = 0;
    for (size_t i = 0; size > 0 && i < msg->msg_iovlen; i++) {
        const struct iovec *from = &msg->msg_iov[i];
        if (at >= from->iov_len) {
            at -= from->iov_len;
            continue;
        }
        size_t part = from->iov_len - at < size ? from->iov_len - at : size;
        iov[n++] = (struct iovec){(uint8_t *)from->iov_base + at, part};
        size -= part;
        at = 0;
    }
    return n;
}

/* With one piece all are lost, as any datagram may be: only the first one's error is told. */
__attribute__((noinline)) static ssize_t in_pieces(struct s5_engine *e, struct s5_association *a,
                                                   int fd, struct msghdr *m, int flags,
                                                   const struct msghdr *msg,
                                                   struct s5_heading *heading, unsigned count,
                                                   size_t room)
{
    struct iovec *iov = m->msg_iov;
    for (unsigned i = 0; i < count; i++) {
        heading->octets[2] = s5_fragments_frag(i, count);
        m->msg_iov = iov;
        m->msg_iovlen = 1 + cut(msg, i * room, room, iov + 1);
        m->msg_control = i ? NULL : msg->msg_control;
        m->msg_controllen = i ? 0 : msg->msg_controllen;
        ssize_t n = through(e, a, fd, m, flags, heading);
        if (n < 0 && i == 0)
            return n;
        if (n < 0)
            break;
    }
    return (ssize_t)s5_scatter_size(msg->msg_iov, msg->msg_iovlen);
}

ssize_t s5_outgoing_send(struct s5_engine *e, struct s5_association *a, int fd,
                         const struct msghdr *msg, int flags)
{
    struct s5_heading heading;
    struct iovec near[NEAR_IOVS], *iov = near;
    ssize_t sent = is_short(a, msg, flags) ? send_short(e, a, fd, msg, flags) : NOT_SO;
    if (sent != NOT_SO)
        return sent;
    struct msghdr m = *msg;
    size_t room;
    int r = heading_of(e, a, msg, &heading);
    if (r < 0)
        return r;
    if (r > 0 || heading.direct)
        return as_it_is(e, a, fd, msg, flags, r == 0);
    if (msg->msg_iovlen >= IOVS_MAX)
        return -EMSGSIZE;
    if (wants_cutting(msg))
        return -EIO;
    if (msg->msg_iovlen + 1 > NEAR_IOVS)
        iov = alloca((msg->msg_iovlen + 1) * sizeof *iov);
    if (a->corked)
        heading.len = 0;
    int count = pieces_of(e, a, msg, heading.len, flags, &room);
    if (count < 0)
        return count;
    iov[0] = (struct iovec){heading.octets, heading.len};
    for (size_t i = 0; i < msg->msg_iovlen; i++)
        iov[i + 1] = msg->msg_iov[i];
    m.msg_iov = iov;
    m.msg_iovlen = msg->msg_iovlen + 1;
    if (count > 1)
        return in_pieces(e, a, fd, &m, flags, msg, &heading, (unsigned)count, room);
    ssize_t n = through(e, a, fd, &m, flags, &heading);
    if (n >= 0)
        a->corked = flags & MSG_MORE;
    return n;
}

/* --- many at once --- */

struct batch {
    struct mmsghdr msgs[BATCH];
    struct s5_heading headings[BATCH];
    struct iovec iovs[BATCH_IOVS];
    struct s5_endpoint relay;
    unsigned n, n_iovs;
};

/* MSG behind the others; false: not in this batch. *RET_ERROR: why not ever. */
static bool add(struct s5_engine *e, struct s5_association *a, struct batch *b,
                const struct msghdr *msg, int flags, int *ret_error)
{
    if (b->n == BATCH || msg->msg_iovlen + 1 > BATCH_IOVS - b->n_iovs || wants_cutting(msg))
        return false;
    struct s5_heading *h = &b->headings[b->n];
    int r = heading_of(e, a, msg, h);
    if (r < 0)
        *ret_error = r;
    size_t room;
    if (r != 0 || h->direct || pieces_of(e, a, msg, h->len, flags, &room) != 1)
        return false;
    struct iovec *iov = &b->iovs[b->n_iovs];
    struct mmsghdr *m = &b->msgs[b->n];
    *m = (struct mmsghdr){.msg_hdr = *msg};
    iov[0] = (struct iovec){h->octets, h->len};
    for (size_t i = 0; i < msg->msg_iovlen; i++)
        iov[i + 1] = msg->msg_iov[i];
    m->msg_hdr.msg_iov = iov;
    m->msg_hdr.msg_iovlen = msg->msg_iovlen + 1;
    b->n_iovs += (unsigned)msg->msg_iovlen + 1;
    b->n++;
    return true;
}

/* B on its way: the number of those that left, or -errno. */
static int send_batch(struct s5_engine *e, struct s5_association *a, int fd, struct batch *b,
                      struct mmsghdr *msgs, int flags)
{
    int r = s5_associate_fresh(e, a, fd, false), sent = -1;
    for (int tries = 0; r == 0; tries++) {
        for (unsigned i = 0; i < b->n; i++)
            to_relay(a, &b->msgs[i].msg_hdr, &b->relay);
        sent = e->real->sendmmsg(fd, b->msgs, b->n, flags);
        if (sent >= 0)
            break;
        r = recover(e, a, fd, errno, tries);
    }
    if (sent < 0 && r != S5_ASSOCIATE_LOST)
        return r;
    for (unsigned i = 0; sent >= 0 && i < (unsigned)sent; i++)
        msgs[i].msg_len = b->msgs[i].msg_len - b->headings[i].len;
    if (sent >= 0)
        return sent;
    for (unsigned i = 0; i < b->n; i++) /* lost */
        msgs[i].msg_len = (unsigned)s5_scatter_size(b->msgs[i].msg_hdr.msg_iov + 1,
                                                    b->msgs[i].msg_hdr.msg_iovlen - 1);
    return (int)b->n;
}

int s5_outgoing_sendmmsg(struct s5_engine *e, struct s5_association *a, int fd,
                         struct mmsghdr *msgs, unsigned n, int flags)
{
    struct batch b;
    unsigned done = 0;
    n = n > IOVS_MAX ? IOVS_MAX : n;
    while (done < n) {
        int error = 0, r;
        b.n = b.n_iovs = 0;
        while (done + b.n < n && !a->corked &&
               add(e, a, &b, &msgs[done + b.n].msg_hdr, flags, &error))
            ;
        if (b.n) {
            r = send_batch(e, a, fd, &b, msgs + done, flags);
            if (r < 0)
                return done ? (int)done : r;
            done += (unsigned)r;
            if ((unsigned)r < b.n)
                break;
            continue;
        }
        /* One of its own kind: direct, very long, in pieces, or wrong. */
        ssize_t one = error ? error
                            : s5_outgoing_send(e, a, fd, &msgs[done].msg_hdr, flags);
        if (one < 0)
            return done ? (int)done : (int)one;
        msgs[done++].msg_len = (unsigned)one;
    }
    return (int)done;
}

/* Sends datagrams. The header is put in front as a buffer of its own, so that long datagrams are not copied, and a
 * batch remains one system call. A short datagram in one buffer, to a destination in the cache, is copied behind its
 * header: a copy costs less than a gathered write by the kernel. */
#include "outgoing.h"
#include "association.h"
#include "fd_record.h"
#include "result.h"
#include "scatter.h"
#include "target.h"
#include "user_memory.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>

#define NEAR_IOVS  16
#define FLAT       1744 /* most octets of a datagram that is copied, with its header */
#define BATCH      8    /* messages of one real sendmmsg(): programs have small stacks */
#define BATCH_IOVS 24   /* their buffers, headers included */
#define IOVS_MAX   1024

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* 0 or -errno for the control messages of a datagram. The kernel would segment one with UDP_SEGMENT, and put the header
 * before the first segment only: EIO, which programs know from devices that cannot segment. One with a source route
 * would not go to the relay. */
static int check_control(const struct msghdr *msg)
{
    if (!msg->msg_control || msg->msg_controllen < sizeof(struct cmsghdr))
        return 0;
    struct msghdr *m = (struct msghdr *)(uintptr_t)msg;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT)
            return -EIO;
        if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RETOPTS) ||
            (c->cmsg_level == IPPROTO_IPV6 && (c->cmsg_type == IPV6_RTHDR || c->cmsg_type == IPV6_2292RTHDR)))
            return -EOPNOTSUPP;
    }
    return 0;
}

/* Finds the header of MSG. 0; 1: MSG is sent as it is, to the address that the kernel's socket is connected to;
 * -errno. */
static int get_heading(struct s5_engine *e, struct s5_association *a, const struct msghdr *msg, struct s5_heading *ret)
{
    if (msg->msg_name && msg->msg_namelen)
        return s5_target_heading(e, a, msg->msg_name, msg->msg_namelen, ret);
    if (a->peer.len)
        return s5_target_heading(e, a, &a->peer.any, a->peer.len, ret);
    if (a->mixed) /* the kernel knows its peer: none, or a direct destination */
        return 1;
    return -EDESTADDRREQ;
}

static void set_relay(struct s5_association *a, struct msghdr *m, struct s5_endpoint *relay)
{
    if (!a->mixed) {
        m->msg_name = NULL;
        m->msg_namelen = 0;
        return;
    }
    *relay = s5_association_relay(a);
    m->msg_name = &relay->any;
    m->msg_namelen = relay->len;
}

static ssize_t send_unchanged(struct s5_engine *e, struct s5_association *a, int fd, const struct msghdr *msg,
                              int flags, bool direct)
{
    int r = direct ? s5_association_mix(e, a, fd) : 0;
    if (r < 0)
        return r;
    ssize_t n = e->real->keyed_sendmsg(fd, msg, flags);
    return n < 0 ? -errno : n;
}

/* Whether ERROR is one of the relay's port, or of the path to it, about an earlier datagram. The current one was not
 * sent. */
static bool is_about_relay(int error)
{
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH;
}

/* Handles ERROR of the real call on FD. 0: the call is to be made again; LOST: the datagram counts as lost in transit;
 * -errno; S5_RESULT_NO_ASSOCIATION: FD no longer has A. */
static int handle_send_error(struct s5_engine *e, struct s5_association *a, int fd, int error, int tries)
{
    if (error == ENOTSOCK || error == EDESTADDRREQ || error == ENOTCONN || error == EISCONN)
        return s5_fd_forget_stale(e, fd) ? S5_RESULT_NO_ASSOCIATION : -error;
    if (!is_about_relay(error) || a->mixed || tries > 1)
        return -error;
    return s5_association_fresh(e, a, fd, true);
}

static bool is_short(const struct s5_association *a, const struct msghdr *msg, int flags)
{
    return msg->msg_iovlen == 1 && msg->msg_iov->iov_len <= FLAT - S5_UDP_HEADER_MAX && !(a->mixed | a->corked) &&
           !msg->msg_controllen && !(flags & (MSG_ZEROCOPY | MSG_MORE));
}

/* Sends a short datagram. S5_RESULT_NOT_SENT: it was not sent, and may not be short. *RET_ERROR: errno of the real
 * call, else 0. */
static __attribute__((noinline)) ssize_t send_flat(struct s5_engine *e, struct s5_association *a, int fd,
                                                   const struct msghdr *msg, int flags, int *ret_error)
{
    uint8_t flat[FLAT];
    bool named = msg->msg_name && msg->msg_namelen;
    size_t len = msg->msg_iov->iov_len, head = s5_target_recall(a, named ? msg->msg_name : &a->peer.any,
                                                                named ? msg->msg_namelen : a->peer.len, flat);
    unsigned fragment = e->policy->servers[a->server_index].fragment;
    *ret_error = 0;
    if (!head || (fragment && head + len > fragment))
        return S5_RESULT_NOT_SENT;
    if (!s5_user_read(flat + head, msg->msg_iov->iov_base, len))
        return -EFAULT;
    ssize_t n = e->real->send(fd, flat, head + len, flags);
    if (n >= (ssize_t)head)
        return n - (ssize_t)head;
    *ret_error = n < 0 ? errno : 0;
    return n >= 0 ? -EMSGSIZE : S5_RESULT_NOT_SENT;
}

static ssize_t send_short(struct s5_engine *e, struct s5_association *a, int fd, const struct msghdr *msg, int flags)
{
    int error, r = s5_association_fresh(e, a, fd, false);
    if (r == 0) {
        ssize_t n = send_flat(e, a, fd, msg, flags, &error);
        r = error ? handle_send_error(e, a, fd, error, 0) : 0;
        if (r == 0)
            return n;
    }
    return r == S5_RESULT_ASSOCIATION_LOST ? (ssize_t)msg->msg_iov->iov_len : r;
}

static ssize_t send_to_relay(struct s5_engine *e, struct s5_association *a, int fd, struct msghdr *m, int flags,
                             const struct s5_heading *heading)
{
    struct s5_endpoint relay;
    size_t size = s5_scatter_size(m->msg_iov + 1, m->msg_iovlen - 1);
    int r = s5_association_fresh(e, a, fd, false);
    for (int tries = 0; r == 0; tries++) {
        set_relay(a, m, &relay);
        ssize_t n = e->real->keyed_sendmsg(fd, m, flags);
        if (n >= heading->len)
            return n - heading->len;
        if (n >= 0)
            return -EMSGSIZE; /* not, or no longer, a datagram socket */
        r = handle_send_error(e, a, fd, errno, tries);
    }
    return r == S5_RESULT_ASSOCIATION_LOST ? (ssize_t)size : r;
}

/* --- fragments --- */

/* The number of fragments that MSG makes behind LEN octets of header, with *RET_DATA_SIZE octets of data in each. 1: it
 * is not fragmented; -EMSGSIZE: it is too large. A datagram that is being put together (MSG_MORE) is not fragmented. */
static int count_fragments(const struct s5_engine *e, const struct s5_association *a, const struct msghdr *msg,
                           size_t len, int flags, size_t *ret_data_size)
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
    *ret_data_size = most - len;
    unsigned count = size > S5_FRAGMENTS_MAX ? 0 : s5_fragments_count(size, *ret_data_size);
    return count ? (int)count : -EMSGSIZE;
}

/* Makes IOV the buffers of the SIZE octets of MSG from AT on. Returns their number. */
static size_t slice_message(const struct msghdr *msg, size_t at, size_t size, struct iovec *iov)
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

/* Sends MSG as COUNT fragments. With one fragment all are lost, as any datagram may be. Only an error of the first is
 * returned. */
__attribute__((noinline)) static ssize_t send_fragments(struct s5_engine *e, struct s5_association *a, int fd,
                                                        struct msghdr *m, int flags, const struct msghdr *msg,
                                                        struct s5_heading *heading, unsigned count, size_t data_size)
{
    struct iovec *iov = m->msg_iov;
    for (unsigned i = 0; i < count; i++) {
        heading->octets[2] = s5_fragments_frag(i, count);
        m->msg_iov = iov;
        m->msg_iovlen = 1 + slice_message(msg, i * data_size, data_size, iov + 1);
        m->msg_control = i ? NULL : msg->msg_control;
        m->msg_controllen = i ? 0 : msg->msg_controllen;
        ssize_t n = send_to_relay(e, a, fd, m, flags, heading);
        if (n < 0 && i == 0)
            return n;
        if (n < 0)
            break;
    }
    return (ssize_t)s5_scatter_size(msg->msg_iov, msg->msg_iovlen);
}

/* Sends MSG behind HEADING. IOV has space for its buffers and one more. */
static ssize_t send_gathered(struct s5_engine *e, struct s5_association *a, int fd, const struct msghdr *msg, int flags,
                             struct s5_heading *heading, struct iovec *iov)
{
    struct msghdr m = *msg;
    size_t data_size;
    if (a->corked)
        heading->len = 0;
    int count = count_fragments(e, a, msg, heading->len, flags, &data_size);
    if (count < 0)
        return count;
    iov[0] = (struct iovec){heading->octets, heading->len};
    for (size_t i = 0; i < msg->msg_iovlen; i++)
        iov[i + 1] = msg->msg_iov[i];
    m.msg_iov = iov;
    m.msg_iovlen = msg->msg_iovlen + 1;
    if (count > 1)
        return send_fragments(e, a, fd, &m, flags, msg, heading, (unsigned)count, data_size);
    ssize_t n = send_to_relay(e, a, fd, &m, flags, heading);
    if (n >= 0)
        a->corked = flags & MSG_MORE;
    return n;
}

/* The same for many buffers: the list of them is mapped for the duration of the call. */
static __attribute__((noinline, cold)) ssize_t send_far(struct s5_engine *e, struct s5_association *a, int fd,
                                                        const struct msghdr *msg, int flags, struct s5_heading *heading)
{
    size_t size = (msg->msg_iovlen + 1) * sizeof(struct iovec);
    struct iovec *far = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (far == MAP_FAILED)
        return -ENOBUFS;
    ssize_t n = send_gathered(e, a, fd, msg, flags, heading, far);
    munmap(far, size);
    return n;
}

static __attribute__((noinline)) ssize_t send_long(struct s5_engine *e, struct s5_association *a, int fd,
                                                   const struct msghdr *msg, int flags)
{
    struct s5_heading heading;
    struct iovec near[NEAR_IOVS];
    int r = get_heading(e, a, msg, &heading);
    if (r < 0)
        return r;
    if (r > 0 || heading.direct)
        return send_unchanged(e, a, fd, msg, flags, r == 0);
    if (msg->msg_iovlen >= IOVS_MAX)
        return -EMSGSIZE;
    int control = check_control(msg);
    if (control < 0)
        return control;
    return msg->msg_iovlen + 1 > NEAR_IOVS ? send_far(e, a, fd, msg, flags, &heading)
                                           : send_gathered(e, a, fd, msg, flags, &heading, near);
}

ssize_t s5_outgoing_send(struct s5_engine *e, struct s5_association *a, int fd, const struct msghdr *msg, int flags)
{
    ssize_t sent = is_short(a, msg, flags) ? send_short(e, a, fd, msg, flags) : S5_RESULT_NOT_SENT;
    return sent != S5_RESULT_NOT_SENT ? sent : send_long(e, a, fd, msg, flags);
}

/* --- sendmmsg() --- */

struct batch {
    struct mmsghdr msgs[BATCH];
    struct iovec iovs[BATCH_IOVS];
    uint8_t headers[BATCH][S5_UDP_HEADER_IPV6];
    uint8_t lens[BATCH]; /* octets of each header */
    struct s5_endpoint relay;
    unsigned n, n_iovs;
};

/* Adds MSG to the batch. 1; 0: it does not fit into this batch, or must be sent alone; -errno: it cannot be sent. */
static __attribute__((noinline)) int add_to_batch(struct s5_engine *e, struct s5_association *a, struct batch *b,
                                                  const struct mmsghdr *msg, int flags)
{
    struct sockaddr_storage to;
    struct s5_heading h;
    struct iovec *iov = &b->iovs[b->n_iovs];
    struct mmsghdr *m = &b->msgs[b->n];
    size_t data_size;
    int r = s5_user_message(&m->msg_hdr, &to, &msg->msg_hdr);
    if (r == 0)
        r = s5_user_parts(&m->msg_hdr);
    if (r < 0 || m->msg_hdr.msg_iovlen + 1 > BATCH_IOVS - b->n_iovs || check_control(&m->msg_hdr) < 0)
        return r;
    r = get_heading(e, a, &m->msg_hdr, &h);
    if (r < 0)
        return r;
    if (r != 0 || h.direct || h.len > sizeof b->headers[0] ||
        count_fragments(e, a, &m->msg_hdr, h.len, flags, &data_size) != 1)
        return 0;
    memcpy(b->headers[b->n], h.octets, h.len);
    b->lens[b->n] = (uint8_t)h.len;
    iov[0] = (struct iovec){b->headers[b->n], h.len};
    for (size_t i = 0; i < m->msg_hdr.msg_iovlen; i++)
        iov[i + 1] = m->msg_hdr.msg_iov[i];
    m->msg_hdr.msg_iov = iov;
    m->msg_hdr.msg_iovlen++;
    b->n_iovs += (unsigned)m->msg_hdr.msg_iovlen;
    b->n++;
    return 1;
}

/* Writes the lengths of the SENT first messages of B into MSGS. LOST: they count as lost in transit. Their number, or
 * -errno. */
static int write_sent(const struct batch *b, struct mmsghdr *msgs, unsigned sent, bool lost)
{
    for (unsigned i = 0; i < sent; i++) {
        const struct msghdr *m = &b->msgs[i].msg_hdr;
        unsigned len =
            lost ? (unsigned)s5_scatter_size(m->msg_iov + 1, m->msg_iovlen - 1) : b->msgs[i].msg_len - b->lens[i];
        if (!s5_user_write(&msgs[i].msg_len, &len, sizeof len))
            return i ? (int)i : -EFAULT;
    }
    return (int)sent;
}

/* Sends B. The number of messages sent, or -errno. */
static int send_batch(struct s5_engine *e, struct s5_association *a, int fd, struct batch *b, struct mmsghdr *msgs,
                      int flags)
{
    int r = s5_association_fresh(e, a, fd, false), sent = -1;
    for (int tries = 0; r == 0; tries++) {
        for (unsigned i = 0; i < b->n; i++)
            set_relay(a, &b->msgs[i].msg_hdr, &b->relay);
        sent = e->real->keyed_sendmmsg(fd, b->msgs, b->n, flags);
        if (sent >= 0)
            break;
        r = handle_send_error(e, a, fd, errno, tries);
    }
    if (sent < 0 && r != S5_RESULT_ASSOCIATION_LOST)
        return r;
    return write_sent(b, msgs, sent < 0 ? b->n : (unsigned)sent, sent < 0);
}

/* Sends as many of MSGS as fit into one batch. The number sent; 0: none fits; -errno. *RET_ALL: all of the batch were
 * sent. */
static __attribute__((noinline)) int send_some(struct s5_engine *e, struct s5_association *a, int fd,
                                               struct mmsghdr *msgs, unsigned n, int flags, bool *ret_all)
{
    struct batch b;
    int r = 1;
    b.n = b.n_iovs = 0;
    while (r > 0 && b.n < n && b.n < BATCH && !a->corked)
        r = add_to_batch(e, a, &b, &msgs[b.n], flags);
    if (!b.n)
        return r < 0 ? r : 0;
    r = send_batch(e, a, fd, &b, msgs, flags);
    *ret_all = r == (int)b.n;
    return r;
}

/* Sends a message that does not fit into a batch: direct, very long, in fragments, or invalid. 1 or -errno. */
static __attribute__((noinline)) int send_one(struct s5_engine *e, struct s5_association *a, int fd,
                                              struct mmsghdr *msg, int flags)
{
    struct sockaddr_storage to;
    struct msghdr m;
    int r = s5_user_message(&m, &to, &msg->msg_hdr);
    if (r == 0)
        r = s5_user_parts(&m);
    ssize_t sent = r < 0 ? r : s5_outgoing_send(e, a, fd, &m, flags);
    unsigned len = (unsigned)sent;
    if (sent >= 0 && !s5_user_write(&msg->msg_len, &len, sizeof len))
        return -EFAULT;
    return sent < 0 ? (int)sent : 1;
}

int s5_outgoing_sendmmsg(struct s5_engine *e, struct s5_association *a, int fd, struct mmsghdr *msgs, unsigned n,
                         int flags)
{
    unsigned done = 0;
    n = n > IOVS_MAX ? IOVS_MAX : n;
    while (done < n) {
        bool all = true;
        int r = send_some(e, a, fd, msgs + done, n - done, flags, &all);
        if (r == 0)
            r = send_one(e, a, fd, msgs + done, flags);
        if (r < 0)
            return done ? (int)done : r;
        done += (unsigned)r;
        if (!all)
            break;
    }
    return (int)done;
}

/* Receives datagrams. The header is read into a buffer of its own before the application's, of the length of the last
 * header. One more buffer behind the application's takes what a longer header pushes out of them. A header of the
 * expected length therefore costs nothing. For any other length the octets are moved.
 *
 * A datagram is dropped if it is not from the relay, has no valid header, is from a source that the application would
 * not receive from, or is a fragment that completes nothing. The call goes on as if the datagram had never come: it
 * waits as long as the socket's SO_RCVTIMEO allows, or reports that there is nothing. */
#include "incoming.h"
#include "association.h"
#include "association_pool.h"
#include "clock.h"
#include "fd_record.h"
#include "inflight.h"
#include "lazy_map.h"
#include "result.h"
#include "scatter.h"
#include "target.h"
#include "timeo.h"
#include "user_memory.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>

#define NEAR_IOVS  18
#define FLAT       1800 /* most octets of a flat read */
#define IOVS_MAX   1024
#define BATCH      4 /* messages of one real recvmmsg(): programs have small stacks */
#define BATCH_IOVS 16

/* A receive call in progress. */
struct receipt {
    struct msghdr *msg;      /* the application's message */
    struct msghdr m;         /* the kernel's message */
    struct iovec *iov;       /* header, the application's buffers, surplus */
    size_t capacity;         /* octets of the application's buffers */
    size_t expect;           /* expected octets of the header */
    struct s5_endpoint from; /* the sender, where the kernel reports it */
    uint8_t header[S5_UDP_HEADER_IPV6];
    uint8_t surplus[S5_UDP_HEADER_MAX];
};

static void prepare_receipt(struct s5_association *a, struct receipt *t, struct msghdr *msg, struct iovec *iov)
{
    size_t n = msg->msg_iovlen;
    t->msg = msg;
    t->iov = iov;
    t->expect = atomic_load_explicit(&a->expect, memory_order_relaxed);
    iov[0] = (struct iovec){t->header, t->expect};
    for (size_t i = 0; i < n; i++)
        iov[i + 1] = msg->msg_iov[i];
    iov[n + 1] = (struct iovec){t->surplus, sizeof t->surplus};
    t->capacity = s5_scatter_size(msg->msg_iov, n);
    t->m = (struct msghdr){
        .msg_iov = iov, .msg_iovlen = n + 2, .msg_control = msg->msg_control, .msg_controllen = msg->msg_controllen};
    if (a->mixed) {
        t->m.msg_name = &t->from.any;
        t->m.msg_namelen = sizeof t->from.v6;
    }
}

/* --- the application's message --- */

static void write_source(struct msghdr *msg, const struct s5_endpoint *from)
{
    if (!msg->msg_name)
        return;
    memcpy(msg->msg_name, &from->any, msg->msg_namelen < from->len ? msg->msg_namelen : from->len);
    msg->msg_namelen = from->len;
}

/* Puts a datagram of N octets, whose data begins at SKIP, into the application's buffers. Returns what recvmsg()
 * returns for it. */
static ssize_t deliver_datagram(struct receipt *t, size_t n, size_t skip, int flags)
{
    size_t len = n - skip, part = len < t->capacity ? len : t->capacity;
    struct msghdr *msg = t->msg;
    if (skip != t->expect)
        s5_scatter_move(t->iov, t->m.msg_iovlen, t->expect, skip, part);
    msg->msg_controllen = t->m.msg_controllen;
    msg->msg_flags = (t->m.msg_flags & ~MSG_TRUNC) | (len > t->capacity ? MSG_TRUNC : 0);
    return (ssize_t)(flags & MSG_TRUNC ? len : part);
}

static ssize_t deliver_assembled(struct receipt *t, const uint8_t *data, size_t len, int flags)
{
    size_t part = s5_scatter_put(t->msg->msg_iov, t->msg->msg_iovlen, 0, data, len);
    t->msg->msg_controllen = t->m.msg_controllen;
    t->msg->msg_flags = (t->m.msg_flags & ~MSG_TRUNC) | (len > t->capacity ? MSG_TRUNC : 0);
    return (ssize_t)(flags & MSG_TRUNC ? len : part);
}

/* --- fragments --- */

static struct s5_fragments *get_fragments(struct s5_association *a)
{
    return s5_lazy_map((void *_Atomic *)&a->fragments, sizeof(struct s5_fragments));
}

/* Processes a fragment; S5_RESULT_DROPPED unless it completes a datagram. A fragment larger than the application's
 * buffers was truncated, and its sequence cannot be put together. */
static __attribute__((noinline, cold)) ssize_t process_fragment(struct s5_association *a, struct receipt *t,
                                                                const struct s5_udp_header *d, size_t n, int flags)
{
    uint8_t near[512], *copy = near;
    size_t held = s5_scatter_size(t->iov, t->m.msg_iovlen), len = n - d->header_len, whole_len;
    struct s5_fragments *f = get_fragments(a);
    const uint8_t *whole;
    ssize_t r = S5_RESULT_DROPPED;
    if (!f)
        return S5_RESULT_DROPPED;
    if (n > sizeof near)
        copy = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return S5_RESULT_DROPPED;
    if (s5_target_lock(a)) {
        s5_scatter_gather(t->iov, t->m.msg_iovlen, copy, n);
        uint8_t frag = n > held ? 0 : d->frag; /* 0 empties the queue */
        if (s5_fragments_feed(f, &d->from, frag, copy + d->header_len, len, s5_clock_now(), &whole, &whole_len))
            r = deliver_assembled(t, whole, whole_len, flags);
        s5_target_unlock(a);
    }
    if (copy != near)
        munmap(copy, n);
    return r;
}

/* A stand-alone datagram empties its source's queue. */
static void clear_fragment_queue(struct s5_association *a, const struct s5_udp_header *d)
{
    const uint8_t *whole;
    size_t len;
    struct s5_fragments *f = atomic_load_explicit(&a->fragments, memory_order_relaxed);
    if (!f || !s5_target_lock(a))
        return;
    s5_fragments_feed(f, &d->from, 0, NULL, 0, s5_clock_now(), &whole, &len);
    s5_target_unlock(a);
}

/* --- one datagram --- */

/* Processes a datagram that is not from the relay. It is accepted where a rule makes its source direct. */
static ssize_t process_direct(struct s5_engine *e, struct s5_association *a, struct receipt *t, size_t n, int flags)
{
    struct s5_addr from;
    struct s5_flow flow = {&from, S5_PROTO_UDP, S5_CMD_UDP};
    if (a->peer.len || s5_addr_from_sockaddr(&from, &t->from.any, t->from.len) < 0 ||
        s5_policy_decide(e->policy, &flow).verdict != S5_DIRECT)
        return S5_RESULT_DROPPED;
    write_source(t->msg, &t->from);
    return deliver_datagram(t, n, 0, flags);
}

/* Reads the header of N octets received. Its buffer may have been too short, so that the header continues in the next
 * ones. 0 or -EPROTO. */
static int read_header(const struct receipt *t, size_t n, struct s5_udp_header *ret)
{
    uint8_t octets[S5_UDP_HEADER_MAX];
    const uint8_t *at = t->header;
    size_t header_len = s5_udp_header_peek_len(t->header, n < t->expect ? n : t->expect);
    if (header_len > t->expect) {
        size_t have = s5_scatter_gather(t->iov, t->m.msg_iovlen, octets, header_len);
        if (have < header_len || n < header_len)
            return -EPROTO;
        at = octets;
    }
    return header_len && n >= header_len ? s5_udp_header_read(at, header_len, ret) : -EPROTO;
}

/* Processes a datagram of N octets, of which fewer may have been read. Returns what the call returns, or
 * S5_RESULT_DROPPED. */
static ssize_t process_datagram(struct s5_engine *e, struct s5_association *a, struct receipt *t, size_t n, int flags)
{
    struct s5_udp_header d;
    struct s5_endpoint source;
    if (a->mixed) {
        struct s5_endpoint relay = s5_association_relay(a);
        t->from.len = t->m.msg_namelen;
        if (!t->from.len || !s5_target_same_end(&t->from, &relay))
            return process_direct(e, a, t, n, flags);
    }
    if (n >= t->expect && !atomic_load_explicit(&a->fragments, memory_order_relaxed) &&
        s5_target_heard(a, t->header, t->expect, &source)) {
        write_source(t->msg, &source);
        return deliver_datagram(t, n, t->expect, flags);
    }
    if (read_header(t, n, &d) < 0)
        return S5_RESULT_DROPPED;
    if (!s5_target_source(e, a, &d.from, &source))
        return S5_RESULT_DROPPED;
    if (d.header_len <= S5_UDP_HEADER_IPV6 && d.header_len != t->expect)
        atomic_store_explicit(&a->expect, (uint8_t)d.header_len, memory_order_relaxed);
    ssize_t r;
    if (d.frag) {
        r = process_fragment(a, t, &d, n, flags);
    } else {
        clear_fragment_queue(a, &d);
        r = deliver_datagram(t, n, d.header_len, flags);
    }
    if (r >= 0)
        write_source(t->msg, &source);
    return r;
}

/* --- the error queue: datagrams that were sent, with their header --- */

static bool is_about_datagram(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        bool error = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                     (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
        struct sock_extended_err about;
        if (!error || c->cmsg_len < CMSG_LEN(sizeof about))
            continue;
        memcpy(&about, CMSG_DATA(c), sizeof about);
        return about.ee_origin == SO_EE_ORIGIN_ICMP || about.ee_origin == SO_EE_ORIGIN_ICMP6 ||
               about.ee_origin == SO_EE_ORIGIN_LOCAL;
    }
    return false;
}

static ssize_t receive_error(struct s5_engine *e, struct s5_association *a, int fd, struct receipt *t, int flags)
{
    struct s5_udp_header d;
    struct s5_endpoint to;
    t->m.msg_name = &t->from.any;
    t->m.msg_namelen = sizeof t->from.v6;
    ssize_t n = e->real->recvmsg(fd, &t->m, flags);
    if (n < 0)
        return -errno;
    size_t skip = 0;
    t->from.len = t->m.msg_namelen;
    if (is_about_datagram(&t->m) && read_header(t, (size_t)n, &d) == 0) {
        skip = d.header_len;
        if (s5_target_source(e, a, &d.from, &to))
            t->from = to;
    }
    write_source(t->msg, &t->from);
    ssize_t r = deliver_datagram(t, (size_t)n, skip, flags);
    t->msg->msg_flags |= t->m.msg_flags & MSG_TRUNC;
    return r;
}

/* --- receiving --- */

static int wait_for_datagram(struct s5_engine *e, int fd, int flags, uint64_t *until)
{
    struct pollfd p = {fd, POLLIN, 0};
    struct timespec left;
    if (flags & MSG_DONTWAIT)
        return 0; /* the kernel reports that there is nothing */
    int status = e->real->fcntl(fd, F_GETFL, 0);
    if (status < 0 || (status & O_NONBLOCK))
        return 0;
    if (!*until)
        *until = s5_inflight_block_until(e, fd, S5_RCVTIMEO);
    if (*until == S5_CLOCK_NEVER)
        return 0;
    int n = e->real->ppoll(&p, 1, s5_clock_left(*until, s5_clock_now(), &left), NULL);
    return n > 0 ? 0 : n == 0 ? -EAGAIN : -errno;
}

/* Handles ERROR of the real call on FD: 0: the call goes on; -errno; S5_RESULT_NO_ASSOCIATION: FD no longer has A. An
 * error of the relay's closed port means that datagrams in transit are lost, which is no error of the application's.
 * */
static int handle_receive_error(struct s5_engine *e, struct s5_association *a, int fd, int error)
{
    if (error == ENOTSOCK || error == ENOTCONN || error == EOPNOTSUPP)
        return s5_fd_forget_stale(e, fd) ? S5_RESULT_NO_ASSOCIATION : -error;
    if (error != ECONNREFUSED)
        return -error;
    int r = s5_association_fresh(e, a, fd, true);
    return r == S5_RESULT_ASSOCIATION_LOST ? 0 : r;
}

/* The octets to read flat, or 0. A datagram for one small buffer is read flat: a copy costs less than a scattered read
 * by the kernel. */
static size_t get_flat_size(const struct s5_association *a, const struct msghdr *msg, int flags)
{
    size_t size = S5_UDP_HEADER_IPV6 + S5_UDP_HEADER_MAX;
    if (msg->msg_iovlen != 1 || msg->msg_iov->iov_len > FLAT - size || a->mixed || msg->msg_controllen ||
        (flags & MSG_ERRQUEUE))
        return 0;
    return size + msg->msg_iov->iov_len;
}

/* Processes a datagram of N octets, read into FLAT. Returns what the call returns, or S5_RESULT_DROPPED where its
 * header is not in the cache. */
static ssize_t process_flat(struct s5_association *a, struct msghdr *msg, const uint8_t *flat, size_t n, int flags)
{
    size_t head = atomic_load_explicit(&a->expect, memory_order_relaxed);
    size_t capacity = msg->msg_iov->iov_len;
    struct s5_endpoint source;
    if (n < head || atomic_load_explicit(&a->fragments, memory_order_relaxed) ||
        !s5_target_heard(a, flat, head, &source))
        return S5_RESULT_DROPPED;
    size_t len = n - head, part = len < capacity ? len : capacity;
    if (!s5_user_write(msg->msg_iov->iov_base, flat + head, part))
        return -EFAULT;
    write_source(msg, &source);
    msg->msg_flags = len > capacity ? MSG_TRUNC : 0;
    return (ssize_t)(flags & MSG_TRUNC ? len : part);
}

/* The association that a call began with. */
struct association_ref {
    uint64_t cookie; /* of the socket */
    uint32_t generation;
};

static struct association_ref get_association_ref(const struct s5_association *a)
{
    return (struct association_ref){a->cookie, atomic_load_explicit(&a->generation, memory_order_relaxed)};
}

static inline bool has_ended(const struct s5_association *a, const struct association_ref *ref)
{
    return __builtin_expect(atomic_load(&a->generation) != ref->generation, 0);
}

/* Whether FD still has A, as REF says: 0 or -errno. */
static int check_association_ref(struct s5_engine *e, const struct s5_association *a, const struct association_ref *ref,
                                 int fd)
{
    return s5_association_still(e, a, ref->generation, ref->cookie, fd);
}

/* Receives one datagram of SIZE octets at most, read flat. The large frame of this function is never on the stack below
 * another large one. Returns what the call returns, or S5_RESULT_DROPPED; *RET_N: the result of recv(). */
static __attribute__((noinline)) ssize_t receive_flat(struct s5_engine *e, struct s5_association *a, int fd,
                                                      struct msghdr *msg, int flags, size_t size,
                                                      const struct association_ref *ref, ssize_t *ret_n)
{
    uint8_t flat[FLAT];
    struct iovec iov[3];
    struct receipt t;
    ssize_t n = *ret_n = e->real->recv(fd, flat, size, flags | MSG_TRUNC);
    if (has_ended(a, ref)) {
        *ret_n = 0;
        return check_association_ref(e, a, ref, fd);
    }
    if (n < 0)
        return S5_RESULT_DROPPED;
    ssize_t r = n ? process_flat(a, msg, flat, (size_t)n, flags) : S5_RESULT_DROPPED;
    if (r != S5_RESULT_DROPPED)
        return r;
    prepare_receipt(a, &t, msg, iov);
    size_t part = (size_t)n < size ? (size_t)n : size;
    if (s5_scatter_put(iov, t.m.msg_iovlen, 0, flat, part) < part)
        return -EFAULT;
    return process_datagram(e, a, &t, (size_t)n, flags);
}

/* The same into the buffers of MSG. IOV has space for two more of them. */
static ssize_t receive_apart(struct s5_engine *e, struct s5_association *a, int fd, struct msghdr *msg, int flags,
                             struct iovec *iov, const struct association_ref *ref, ssize_t *ret_n)
{
    struct receipt t;
    prepare_receipt(a, &t, msg, iov);
    ssize_t n = *ret_n = flags & MSG_ERRQUEUE ? 0 : e->real->recvmsg(fd, &t.m, flags | MSG_TRUNC);
    if (has_ended(a, ref)) {
        *ret_n = 0;
        return check_association_ref(e, a, ref, fd);
    }
    if (flags & MSG_ERRQUEUE)
        return receive_error(e, a, fd, &t, flags);
    return n < 0 ? S5_RESULT_DROPPED : process_datagram(e, a, &t, (size_t)n, flags);
}

static __attribute__((noinline)) ssize_t receive_near(struct s5_engine *e, struct s5_association *a, int fd,
                                                      struct msghdr *msg, int flags, const struct association_ref *ref,
                                                      ssize_t *ret_n)
{
    struct iovec near[NEAR_IOVS];
    return receive_apart(e, a, fd, msg, flags, near, ref, ret_n);
}

/* The same for many buffers: the list of them is mapped for the duration of the call. */
static __attribute__((noinline, cold)) ssize_t receive_far(struct s5_engine *e, struct s5_association *a, int fd,
                                                           struct msghdr *msg, int flags,
                                                           const struct association_ref *ref, ssize_t *ret_n)
{
    size_t size = (msg->msg_iovlen + 2) * sizeof(struct iovec);
    struct iovec *far = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *ret_n = 0;
    if (far == MAP_FAILED)
        return -ENOBUFS;
    ssize_t r = receive_apart(e, a, fd, msg, flags, far, ref, ret_n);
    int error = errno;
    munmap(far, size);
    errno = error;
    return r;
}

ssize_t s5_incoming_receive(struct s5_engine *e, struct s5_association *a, int fd, struct msghdr *msg, int flags)
{
    uint64_t until = 0;
    int saved = errno;
    if (msg->msg_iovlen > IOVS_MAX - 2)
        return -EMSGSIZE;
    size_t size = get_flat_size(a, msg, flags);
    bool many = msg->msg_iovlen + 2 > NEAR_IOVS;
    const struct association_ref ref = get_association_ref(a);
    for (;;) {
        ssize_t n, r = size   ? receive_flat(e, a, fd, msg, flags, size, &ref, &n)
                       : many ? receive_far(e, a, fd, msg, flags, &ref, &n)
                              : receive_near(e, a, fd, msg, flags, &ref, &n);
        if (n < 0)
            r = handle_receive_error(e, a, fd, errno);
        if (n < 0 ? r < 0 : r != S5_RESULT_DROPPED) {
            errno = saved;
            return r;
        }
        r = check_association_ref(e, a, &ref, fd);
        if (r == 0 && n >= 0 && (flags & MSG_PEEK)) /* it is still in the queue */
            e->real->recv(fd, NULL, 0, MSG_DONTWAIT);
        if (r == 0)
            r = wait_for_datagram(e, fd, flags, &until);
        if (r == 0)
            r = check_association_ref(e, a, &ref, fd);
        if (r < 0)
            return r;
    }
}

/* --- recvmmsg() --- */

struct incoming_batch {
    struct mmsghdr msgs[BATCH];
    struct receipt receipts[BATCH];
    struct iovec iovs[BATCH_IOVS];
};

/* Prepares as many of MSGS as fit into one call; their number. */
static unsigned prepare_batch(struct s5_association *a, struct incoming_batch *in, struct mmsghdr *msgs, unsigned n)
{
    unsigned at = 0, used = 0;
    for (; at < n && at < BATCH; at++) {
        struct msghdr *msg = &msgs[at].msg_hdr;
        if (msg->msg_iovlen + 2 > BATCH_IOVS - used)
            break;
        prepare_receipt(a, &in->receipts[at], msg, &in->iovs[used]);
        used += (unsigned)msg->msg_iovlen + 2;
        in->msgs[at] = (struct mmsghdr){.msg_hdr = in->receipts[at].m};
    }
    return at;
}

/* Receives the first of MSGS. Its number, 1, or -errno. */
static int receive_one(struct s5_engine *e, struct s5_association *a, int fd, struct mmsghdr *msgs, int flags)
{
    ssize_t r = s5_incoming_receive(e, a, fd, &msgs[0].msg_hdr, flags);
    if (r < 0)
        return (int)r;
    msgs[0].msg_len = (unsigned)r;
    return 1;
}

/* Receives as many of the *N MSGS as fit into one call; *N becomes that number. The number received, or -errno. */
static __attribute__((noinline)) int receive_batch(struct s5_engine *e, struct s5_association *a, int fd,
                                                   struct mmsghdr *msgs, unsigned *n, int flags,
                                                   struct timespec *timeout)
{
    struct incoming_batch in;
    unsigned good = 0;
    const struct association_ref ref = get_association_ref(a);
    *n = prepare_batch(a, &in, msgs, *n);
    int got = e->real->recvmmsg(fd, in.msgs, *n, flags | MSG_TRUNC, timeout);
    if (has_ended(a, &ref))
        return check_association_ref(e, a, &ref, fd);
    if (got < 0)
        return handle_receive_error(e, a, fd, errno);
    for (int i = 0; i < got; i++) {
        struct receipt *t = &in.receipts[i];
        t->m = in.msgs[i].msg_hdr;
        ssize_t r = process_datagram(e, a, t, in.msgs[i].msg_len, flags);
        if (r < 0)
            continue;
        msgs[i].msg_len = (unsigned)r;
        if (good != (unsigned)i)
            s5_scatter_move_over(&msgs[good], &msgs[i], msgs[i].msg_hdr.msg_name != NULL);
        good++;
    }
    return (int)good;
}

int s5_incoming_recvmmsg(struct s5_engine *e, struct s5_association *a, int fd, struct mmsghdr *msgs, unsigned n,
                         int flags, struct timespec *timeout)
{
    unsigned have = 0;
    uint64_t until = 0;
    const struct association_ref ref = get_association_ref(a);
    n = n > IOVS_MAX ? IOVS_MAX : n;
    if (flags & (MSG_ERRQUEUE | MSG_PEEK)) /* one per call: such calls are rare */
        return n ? receive_one(e, a, fd, msgs, flags) : 0;
    while (have < n) {
        int now = have ? flags | (flags & MSG_WAITFORONE ? MSG_DONTWAIT : 0) : flags;
        unsigned asked = n - have;
        /* A message with more buffers than a batch holds is received alone. */
        int r = msgs[have].msg_hdr.msg_iovlen + 2 > BATCH_IOVS
                    ? (asked = 1, receive_one(e, a, fd, msgs + have, now))
                    : receive_batch(e, a, fd, msgs + have, &asked, now, timeout);
        if (r < 0)
            return have ? (int)have : r;
        have += (unsigned)r;
        if (have && (unsigned)r < asked)
            break; /* there is no more, or the time-out has passed */
        if (timeout && timeout->tv_sec == 0 && timeout->tv_nsec == 0)
            return have ? (int)have : -EAGAIN;
        if (!have &&
            ((r = wait_for_datagram(e, fd, flags, &until)) < 0 || (r = check_association_ref(e, a, &ref, fd)) < 0))
            return r;
        if (have && check_association_ref(e, a, &ref, fd) < 0)
            break;
    }
    return (int)have;
}

/* Messages of any content as from the kernel, which is the other end of a pair of sockets. The first octet selects the
 * reader: sock_diag, or the NFQUEUE. A packet that is taken gets a verdict, and so does one that is not understood. */
#include "diag.h"
#include "fuzz.h"
#include "loop.h"
#include "queue.h"
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONGEST 4096 /* so many verdicts fit into the buffer of a socket */

static int diag_kernel, queue_kernel; /* the other ends */
static unsigned n_ends, n_taken;

static void check_endpoint(const struct s5_endpoint *at)
{
    CHECK(at->any.sa_family == AF_INET || at->any.sa_family == AF_INET6);
    CHECK(at->len == (at->any.sa_family == AF_INET ? sizeof at->v4 : sizeof at->v6));
    CHECK(at->any.sa_family == AF_INET || !IN6_IS_ADDR_V4MAPPED(&at->v6.sin6_addr));
}

static void take_listener(const struct s5_endpoint *at)
{
    if (at)
        check_endpoint(at);
    else
        n_ends++;
}

static void take_connection(const struct s5_endpoint *from, const struct s5_endpoint *to)
{
    check_endpoint(from);
    check_endpoint(to);
}

static void take_packet(uint32_t id, const struct packet *p)
{
    check_endpoint(&p->from);
    check_endpoint(&p->to);
    n_taken++;
    if (id % 3 == 0)
        queue_drop(id);
    else
        queue_accept(id, id % 3 - 1);
}

/* Returns the number of messages that wait at FD, which are complete. */
static unsigned receive_messages(int fd)
{
    struct {
        struct nlmsghdr head;
        char rest[512];
    } m;
    ssize_t got;
    unsigned n = 0;
    for (; (got = recv(fd, &m, sizeof m, MSG_DONTWAIT)) > 0; n++)
        CHECK(got >= (ssize_t)sizeof m.head && m.head.nlmsg_len == got && m.head.nlmsg_flags & NLM_F_REQUEST);
    return n;
}

static void begin_diag(void)
{
    static const struct diag_events events = {take_listener, check_endpoint, take_connection};
    int ends[2], own = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    CHECK(own >= 0 && diag_begin(own, &events) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK(dup2(ends[0], own) == own && close(ends[0]) == 0);
    diag_kernel = ends[1];
}

static void begin_queue(void)
{
    static const struct {
        struct nlmsghdr head;
        struct nlmsgerr result;
    } good = {{sizeof good, NLMSG_ERROR, 0, 0, 0}, {0}};
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK(send(ends[1], &good, sizeof good, 0) == (ssize_t)sizeof good);
    CHECK(queue_begin(ends[0], take_packet) == 0);
    queue_kernel = ends[1];
    CHECK(receive_messages(queue_kernel) == 2);
}

static void read_sockets(const uint8_t *data, size_t size)
{
    static const struct nlmsghdr done = {sizeof done, NLMSG_DONE, NLM_F_MULTI, 0, 0};
    uint8_t *exact = exact_copy(data, size);
    n_ends = 0;
    diag_request_listeners();
    CHECK(receive_messages(diag_kernel) == 1);
    diag_read(exact, size);
    CHECK(receive_messages(diag_kernel) <= 1 && n_ends <= 1);
    for (int i = 0; i < 2; i++)
        diag_read(&done, sizeof done);
    CHECK(n_ends == 1);
    receive_messages(diag_kernel);
    free(exact);
}

static void read_packets(const uint8_t *data, size_t size)
{
    n_taken = 0;
    CHECK(send(queue_kernel, data, size, 0) == (ssize_t)size);
    loop_run_once(0);
    CHECK(receive_messages(queue_kernel) >= n_taken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    if (!begun) {
        CHECK(loop_begin() == 0);
        begin_diag();
        begin_queue();
        begun = true;
    }
    if (size < 2 || size > LONGEST)
        return 0;
    if (data[0] & 1)
        read_packets(data + 1, size - 1);
    else
        read_sockets(data + 1, size - 1);
    return 0;
}

/* What the kernel tells about the sockets of a namespace. The netlink socket is replaced by one end of a pair, so that
 * the requests are seen; one test asks this machine's kernel. */
#include "diag.h"
#include "loop.h"
#include "packet_script.h"
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOSED 7  /* TCP_CLOSE */
#define LISTEN 10 /* TCP_LISTEN */

static char seen[4096]; /* the calls of the functions, as text */
static int own, kernel; /* the pair: the end of diag.c, and the other one */
static struct octets m; /* messages */

/* --- the functions --- */

static void note_endpoint(const char *what, const struct s5_endpoint *at)
{
    char text[INET6_ADDRSTRLEN];
    bool four = at->any.sa_family == AF_INET;
    cr_assert_eq(at->len, four ? sizeof at->v4 : sizeof at->v6);
    inet_ntop(at->any.sa_family, four ? (const void *)&at->v4.sin_addr : &at->v6.sin6_addr, text, sizeof text);
    size_t n = strlen(seen);
    cr_assert_lt((size_t)snprintf(seen + n, sizeof seen - n, "%s%s|%u ", what, text, s5_endpoint_port(&at->any)),
                 sizeof seen - n);
}

static void note_listener(const struct s5_endpoint *at)
{
    if (at)
        note_endpoint("listener ", at);
    else
        strcat(seen, "end ");
}

static void note_udp(const struct s5_endpoint *at)
{
    note_endpoint("udp ", at);
}

static void note_tcp(const struct s5_endpoint *from, const struct s5_endpoint *to)
{
    note_endpoint("tcp ", from);
    note_endpoint("to ", to);
}

static const struct diag_events events = {note_listener, note_udp, note_tcp};

static void begin(void)
{
    int ends[2];
    own = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    cr_assert_geq(own, 0);
    cr_assert(loop_begin() == 0 && diag_begin(own, &events) == 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(dup2(ends[0], own), own);
    kernel = ends[1];
    close(ends[0]);
}

TestSuite(diag, .init = begin);

/* --- messages of the kernel --- */

static void append_attribute(uint16_t type, const void *value, size_t n)
{
    const struct nlattr head = {(uint16_t)(sizeof head + n), type};
    append(&m, &head, sizeof head);
    append(&m, value, n);
    append(&m, "\0\0\0", -n % 4);
}

/* Appends a message about a socket of FAMILY in STATE. PROTOCOL 0: it has no attributes, as in the answers to requests
 * for listeners. */
static void append_socket(uint16_t type, uint8_t family, uint8_t state, uint8_t protocol, const char *from,
                          const char *to)
{
    size_t at = m.n;
    struct nlmsghdr head = {.nlmsg_type = type};
    struct inet_diag_msg d = {.idiag_family = family, .idiag_state = state};
    d.id.idiag_sport = htons(FROM_PORT);
    d.id.idiag_dport = htons(TO_PORT);
    cr_assert_eq(inet_pton(strchr(from, ':') ? AF_INET6 : AF_INET, from, d.id.idiag_src), 1);
    cr_assert_eq(inet_pton(strchr(to, ':') ? AF_INET6 : AF_INET, to, d.id.idiag_dst), 1);
    append(&m, &head, sizeof head);
    append(&m, &d, sizeof d);
    if (protocol) {
        append_attribute(INET_DIAG_MEMINFO, "longer than 8 octets", 20);
        append_attribute(INET_DIAG_PROTOCOL, &protocol, 1);
    }
    head.nlmsg_len = (uint32_t)(m.n - at);
    memcpy(m.at + at, &head, sizeof head);
}

static void append_control(uint16_t type, uint16_t flags, int32_t value)
{
    const struct nlmsghdr head = {sizeof head + sizeof value, type, flags, 0, 0};
    append(&m, &head, sizeof head);
    append(&m, &value, sizeof value);
}

static void append_listener(const char *at)
{
    append_socket(SOCK_DIAG_BY_FAMILY, strchr(at, ':') ? AF_INET6 : AF_INET, LISTEN, 0, at,
                  strchr(at, ':') ? "::" : "0.0.0.0");
}

/* Passes N octets of the messages, in memory of that size, and returns the calls. */
static const char *read_part(size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    cr_assert_not_null(copy);
    memcpy(copy, m.at, n);
    seen[0] = 0;
    diag_read(copy, n);
    free(copy);
    return seen;
}

/* Passes the messages, and forgets them. */
static const char *read_all(void)
{
    const char *calls = read_part(m.n);
    m.n = 0;
    return calls;
}

/* The request that was sent is one for the listeners of FAMILY; 0: there is none. */
static void expect_request(int family)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 q;
    } request;
    ssize_t n = recv(kernel, &request, sizeof request, 0);
    if (family == 0) {
        cr_assert(n < 0 && errno == EAGAIN, "a request was sent");
        return;
    }
    cr_assert_eq(n, (ssize_t)sizeof request);
    cr_assert_eq(request.head.nlmsg_len, sizeof request);
    cr_assert_eq(request.head.nlmsg_type, SOCK_DIAG_BY_FAMILY);
    cr_assert_eq(request.head.nlmsg_flags, NLM_F_REQUEST | NLM_F_DUMP);
    cr_assert(request.q.sdiag_family == family && request.q.sdiag_protocol == IPPROTO_TCP);
    cr_assert_eq(request.q.idiag_states, 1u << LISTEN);
}

/* --- dumps of listeners --- */

Test(diag, a_dump_is_of_both_families)
{
    diag_request_listeners();
    expect_request(AF_INET);
    append_listener("127.0.0.1");
    append_listener("0.0.0.0");
    cr_assert_str_eq(read_all(), "listener 127.0.0.1|51234 listener 0.0.0.0|51234 ");
    expect_request(0);
    append_control(NLMSG_DONE, NLM_F_MULTI, 0);
    cr_assert_str_eq(read_all(), "");
    expect_request(AF_INET6);
    append_listener("::1");
    append_control(NLMSG_DONE, NLM_F_MULTI, 0);
    cr_assert_str_eq(read_all(), "listener ::1|51234 end ");
    expect_request(0);
    diag_request_listeners();
    expect_request(AF_INET);
}

Test(diag, there_is_one_dump_at_a_time)
{
    diag_request_listeners();
    diag_request_listeners();
    expect_request(AF_INET);
    expect_request(0);
    append_control(NLMSG_DONE, NLM_F_MULTI, 0);
    read_all();
    expect_request(AF_INET6);
    diag_request_listeners();
    expect_request(0);
    append_control(NLMSG_DONE, NLM_F_MULTI, 0);
    cr_assert_str_eq(read_all(), "end ");
    append_control(NLMSG_DONE, NLM_F_MULTI, 0);
    append_control(NLMSG_ERROR, 0, -EINVAL);
    cr_assert_str_eq(read_all(), "", "these are about nothing");
    expect_request(0);
}

/* A kernel without IPv6 answers with an error. */
Test(diag, an_error_ends_a_dump_too)
{
    diag_request_listeners();
    expect_request(AF_INET);
    append_control(NLMSG_ERROR, 0, -ENOENT);
    cr_assert_str_eq(read_all(), "");
    expect_request(AF_INET6);
    append_control(NLMSG_ERROR, 0, -ENOENT);
    cr_assert_str_eq(read_all(), "end ");
    diag_request_listeners();
    expect_request(AF_INET);
    append_control(NLMSG_DONE, NLM_F_MULTI, 0);
    append_listener("::1");
    append_control(NLMSG_ERROR, 0, -ENOENT);
    cr_assert_str_eq(read_all(), "listener ::1|51234 end ", "all in one");
    expect_request(AF_INET6);
}

Test(diag, other_control_messages_are_ignored)
{
    diag_request_listeners();
    expect_request(AF_INET);
    append_control(NLMSG_NOOP, 0, 0);
    append_control(NLMSG_OVERRUN, 0, 0);
    append_control(5, 0, 0);
    append_control(NLMSG_MIN_TYPE - 1, 0, 0);
    append_control(NLMSG_MIN_TYPE, 0, 0);
    cr_assert_str_eq(read_all(), "");
    expect_request(0);
}

/* What was changed during a dump does not leave it unended. */
Test(diag, an_interrupted_dump_ends)
{
    diag_request_listeners();
    expect_request(AF_INET);
    append_control(NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR, 0);
    read_all();
    expect_request(AF_INET6);
    append_control(NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR, 0);
    cr_assert_str_eq(read_all(), "end ");
}

Test(diag, a_request_that_cannot_be_sent_is_no_dump)
{
    int ends[2];
    close(kernel);
    diag_request_listeners();
    append_control(NLMSG_DONE, NLM_F_MULTI, 0);
    cr_assert_str_eq(read_all(), "");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert_eq(dup2(ends[0], own), own);
    close(ends[0]);
    kernel = ends[1];
    diag_request_listeners();
    expect_request(AF_INET);
}

/* --- closed sockets --- */

Test(diag, closed_sockets)
{
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET, CLOSED, IPPROTO_UDP, FROM4, TO4);
    cr_assert_str_eq(read_all(), "udp 10.9.8.7|51234 ");
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET6, 1, IPPROTO_UDP, FROM6, "::"); /* connected */
    cr_assert_str_eq(read_all(), "udp fd00:1:2:3::7|51234 ");
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET, CLOSED, IPPROTO_TCP, FROM4, TO4);
    cr_assert_str_eq(read_all(), "tcp 10.9.8.7|51234 to 192.0.2.33|443 ");
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET6, CLOSED, IPPROTO_TCP, FROM6, TO6);
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET, CLOSED, IPPROTO_UDP, "0.0.0.0", "0.0.0.0");
    cr_assert_str_eq(read_all(), "tcp fd00:1:2:3::7|51234 to 2001:db8::33|443 udp 0.0.0.0|51234 ");
    expect_request(0);
}

/* A socket of IPv6 may have an IPv4 address. Its packets are of IPv4. */
Test(diag, mapped_addresses_are_those_of_the_packets)
{
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET6, CLOSED, IPPROTO_TCP, "::ffff:" FROM4, "::ffff:" TO4);
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET6, CLOSED, IPPROTO_UDP, "::ffff:" FROM4, "::ffff:" TO4);
    cr_assert_str_eq(read_all(), "tcp 10.9.8.7|51234 to 192.0.2.33|443 udp 10.9.8.7|51234 ");
    append_listener("::ffff:127.0.0.1");
    append_listener("::");
    cr_assert_str_eq(read_all(), "listener 127.0.0.1|51234 listener ::|51234 ");
}

Test(diag, sockets_of_no_interest_are_ignored)
{
    static const uint8_t families[] = {AF_UNSPEC, AF_UNIX, AF_NETLINK, AF_PACKET, 255};
    static const uint8_t protocols[] = {0, IPPROTO_ICMP, IPPROTO_UDPLITE, IPPROTO_SCTP, 255};
    static const uint16_t types[] = {NLMSG_MIN_TYPE, 18 /* TCPDIAG_GETSOCK */, 19, 21 /* SOCK_DESTROY */, 0xffff};
    for (size_t i = 0; i < COUNT(families); i++) {
        append_socket(SOCK_DIAG_BY_FAMILY, families[i], LISTEN, IPPROTO_TCP, FROM4, TO4);
        append_socket(SOCK_DIAG_BY_FAMILY, families[i], CLOSED, IPPROTO_UDP, FROM4, TO4);
        append_socket(SOCK_DIAG_BY_FAMILY, AF_INET, CLOSED, protocols[i], FROM4, TO4);
        append_socket(types[i], AF_INET, LISTEN, IPPROTO_TCP, FROM4, TO4);
        append_socket(types[i], AF_INET, CLOSED, IPPROTO_UDP, FROM4, TO4);
        cr_assert_str_eq(read_all(), "");
    }
}

Test(diag, an_attribute_without_a_value_is_ignored)
{
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET, CLOSED, 0, FROM4, TO4);
    append_attribute(INET_DIAG_PROTOCOL, "", 0);
    ((struct nlmsghdr *)m.at)->nlmsg_len = (uint32_t)m.n;
    cr_assert_str_eq(read_all(), "");
}

/* --- what is cut --- */

Test(diag, truncated_messages_are_ignored)
{
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET6, LISTEN, IPPROTO_TCP, FROM6, TO6);
    for (size_t n = 0; n < m.n; n++)
        cr_assert_str_eq(read_part(n), "", "%zu octets", n);
    cr_assert_str_eq(read_part(m.n), "listener fd00:1:2:3::7|51234 ");
    const size_t one = m.n;
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET, CLOSED, IPPROTO_UDP, FROM4, TO4);
    for (size_t n = one; n < m.n; n++)
        cr_assert_str_eq(read_part(n), "listener fd00:1:2:3::7|51234 ", "%zu octets", n);
}

/* The length of the message says that it is shorter. */
Test(diag, short_messages_are_ignored)
{
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET, LISTEN, 0, FROM4, TO4);
    struct nlmsghdr *head = (struct nlmsghdr *)m.at;
    for (uint32_t n = 0; n < sizeof *head + sizeof(struct inet_diag_msg); n++) {
        head->nlmsg_len = n;
        cr_assert_str_eq(read_part(n > sizeof *head ? n : sizeof *head), "", "%u octets", n);
    }
}

/* A length of 2 GiB and more is negative for libmnl. */
Test(diag, long_messages_are_ignored)
{
    static const uint32_t lengths[] = {1u << 31, (1u << 31) + 88, 0xffff0000, UINT32_MAX - 3, UINT32_MAX, INT32_MAX};
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET, LISTEN, 0, FROM4, TO4);
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET, CLOSED, IPPROTO_UDP, FROM4, TO4);
    struct nlmsghdr *head = (struct nlmsghdr *)m.at;
    const uint32_t right = head->nlmsg_len;
    cr_assert_str_eq(read_part(m.n), "listener 10.9.8.7|51234 udp 10.9.8.7|51234 ");
    for (size_t i = 0; i < COUNT(lengths); i++) {
        head->nlmsg_len = lengths[i];
        cr_assert_str_eq(read_part(m.n), "", "%u octets", lengths[i]);
    }
    head->nlmsg_len = right;
}

/* An attribute must end where its message ends. */
Test(diag, truncated_attributes_are_ignored)
{
    append_socket(SOCK_DIAG_BY_FAMILY, AF_INET, CLOSED, IPPROTO_UDP, FROM4, TO4);
    struct nlmsghdr *head = (struct nlmsghdr *)m.at;
    const size_t complete = m.n - 3; /* without padding */
    for (size_t n = sizeof *head + sizeof(struct inet_diag_msg); n < complete; n++) {
        head->nlmsg_len = (uint32_t)n;
        cr_assert_str_eq(read_part(n), "", "%zu octets", n);
    }
    head->nlmsg_len = (uint32_t)complete;
    cr_assert_str_eq(read_part(complete), "udp 10.9.8.7|51234 ");
}

/* --- the kernel --- */

static int make_listener(uint16_t *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 1) == 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static bool port_was_found, dump_has_ended;
static uint16_t own_port, closed_port;

static void find_listener(const struct s5_endpoint *at)
{
    port_was_found |= at && at->v4.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && s5_endpoint_port(&at->any) == own_port;
    dump_has_ended |= !at;
}

static void find_udp(const struct s5_endpoint *at)
{
    if (s5_endpoint_port(&at->any) == own_port)
        closed_port = own_port;
}

static void ignore_tcp(const struct s5_endpoint *from, const struct s5_endpoint *to)
{
    (void)from;
    (void)to;
}

/* Waits until WHAT is true, for at most 10 s. */
static void wait_for(const bool *what)
{
    for (int64_t until = loop_now() + 10000; !*what && loop_now() < until;)
        loop_run_once(1000);
    cr_assert(*what);
}

Test(diag_kernel, listeners_and_closed_sockets)
{
    static const struct diag_events finders = {find_listener, find_udp, ignore_tcp};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    cr_assert(loop_begin() == 0 && diag_begin(fd, &finders) == 0);
    int listener = make_listener(&own_port);
    for (int i = 0; i < 2; i++) {
        port_was_found = dump_has_ended = false;
        diag_request_listeners();
        wait_for(&dump_has_ended);
        cr_assert_eq(port_was_found, i == 0);
        if (i == 0)
            close(listener);
    }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(udp, (struct sockaddr *)&at, len) == 0 && getsockname(udp, (struct sockaddr *)&at, &len) == 0);
    own_port = ntohs(at.sin_port);
    close(udp);
    for (int64_t until = loop_now() + 10000; !closed_port && loop_now() < until;)
        loop_run_once(1000);
    cr_assert_eq(closed_port, own_port);
}

Test(diag_kernel, another_socket_cannot_be_used)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(loop_begin(), 0);
    cr_assert_lt(diag_begin(fd, &events), 0);
}

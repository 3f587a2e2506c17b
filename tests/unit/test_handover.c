/* Messages between the launcher of a namespace and its gateway: descriptors arrive under their own names, and messages
 * of any other form leave no descriptor open. */
#include "handover.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD offsetof(struct handover, fds)
#define MOST (HANDOVER_FDS + 4) /* descriptors in a message of these tests */

static int ends[2];
static int files[MOST]; /* each another file */

static unsigned count_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    unsigned n = 0;
    cr_assert_not_null(list);
    while (readdir(list))
        n++;
    closedir(list);
    return n - 3; /* ".", "..", and that of LIST */
}

static void begin(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    for (int i = 0; i < MOST; i++) {
        char name[] = "/tmp/test_handover.XXXXXX";
        files[i] = mkostemp(name, O_CLOEXEC);
        cr_assert_geq(files[i], 0);
        unlink(name);
    }
}

static void end(void)
{
    for (int i = 0; i < MOST; i++)
        close(files[i]);
    close(ends[0]);
    close(ends[1]);
}

TestSuite(handover, .init = begin, .fini = end);

static bool is_same_file(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Sends N octets at OCTETS with the descriptors FDS. */
static void send_raw(const void *octets, size_t n, const int *fds, int n_fds)
{
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(int) * MOST)];
    } control = {.octets = {0}};
    struct iovec iov = {(void *)octets, n};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds > 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * (size_t)n_fds);
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
    }
    cr_assert_eq(sendmsg(ends[0], &m, 0), (ssize_t)n);
}

static void expect_no_descriptor(const struct handover *h)
{
    for (int i = 0; i < HANDOVER_FDS; i++)
        cr_assert_eq(h->fds[i], -1, "descriptor %d", i);
}

/* What was sent with send_raw() is refused with RESULT, and leaves nothing behind. */
static void expect_refused(int result)
{
    struct handover h;
    unsigned before = count_descriptors();
    memset(&h, 0xa5, sizeof h);
    cr_assert_eq(handover_receive(ends[1], &h), result);
    expect_no_descriptor(&h);
    cr_assert_eq(count_descriptors(), before);
}

/* --- messages --- */

Test(handover, clear_and_close)
{
    struct handover h;
    memset(&h, 0xa5, sizeof h);
    handover_clear(&h, HANDOVER_MARKER);
    cr_assert_eq(h.kind, HANDOVER_MARKER);
    cr_assert(h.error == 0 && h.flags == 0 && h.present == 0 && h.cookie == 0 && h.pid == 0);
    cr_assert(h.stderr_dev == 0 && h.stderr_ino == 0);
    expect_no_descriptor(&h);
    unsigned before = count_descriptors();
    handover_close(&h);
    cr_assert_eq(count_descriptors(), before);
    for (int i = 0; i < HANDOVER_FDS; i += 2)
        h.fds[i] = fcntl(files[i], F_DUPFD_CLOEXEC, 0);
    handover_close(&h);
    expect_no_descriptor(&h);
    cr_assert_eq(count_descriptors(), before);
    handover_close(&h); /* nothing is closed twice */
}

/* Sends the descriptors of the bits PRESENT and receives them. */
static void pass_subset(uint32_t present)
{
    struct handover h, got;
    unsigned before = count_descriptors(), n = 0;
    handover_clear(&h, HANDOVER_BEGIN);
    h.error = -EHOSTDOWN;
    h.flags = HANDOVER_LOOPBACK_IN | HANDOVER_STRICT;
    h.cookie = 0x0123456789abcdef;
    h.pid = 4711;
    h.stderr_dev = 0xfedcba9876543210;
    h.stderr_ino = UINT64_MAX;
    for (int i = 0; i < HANDOVER_FDS; i++)
        if (present & 1u << i)
            h.fds[i] = files[i], n++;
    cr_assert_eq(handover_send(ends[0], &h), 0);
    cr_assert_eq(count_descriptors(), before, "they stay open here");
    memset(&got, 0xa5, sizeof got);
    cr_assert_eq(handover_receive(ends[1], &got), 0);
    cr_assert(got.kind == HANDOVER_BEGIN && got.error == h.error && got.flags == h.flags && got.present == present);
    cr_assert(got.cookie == h.cookie && got.pid == h.pid && got.stderr_dev == h.stderr_dev);
    cr_assert_eq(got.stderr_ino, h.stderr_ino);
    cr_assert_eq(count_descriptors(), before + n);
    for (int i = 0; i < HANDOVER_FDS; i++) {
        cr_assert_eq(got.fds[i] >= 0, (present & 1u << i) != 0, "descriptor %d of %x", i, present);
        if (got.fds[i] < 0)
            continue;
        cr_assert(is_same_file(got.fds[i], files[i]), "descriptor %d of %x", i, present);
        cr_assert_eq(fcntl(got.fds[i], F_GETFD), FD_CLOEXEC);
    }
    handover_close(&got);
    cr_assert_eq(count_descriptors(), before);
}

Test(handover, every_subset_of_few_and_of_all_but_few)
{
    const uint32_t all = (1u << HANDOVER_FDS) - 1;
    pass_subset(0);
    pass_subset(all);
    for (int i = 0; i < HANDOVER_FDS; i++)
        for (int j = 0; j < HANDOVER_FDS; j++) {
            pass_subset(1u << i | 1u << j);
            pass_subset(all & ~(1u << i | 1u << j));
        }
}

Test(handover, random_subsets)
{
    uint32_t random = 2463534242u;
    for (int i = 0; i < 2000; i++) {
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        pass_subset(random & ((1u << HANDOVER_FDS) - 1));
    }
}

Test(handover, messages_do_not_mix)
{
    struct handover first, second, got;
    handover_clear(&first, HANDOVER_JOIN);
    first.fds[HANDOVER_NETNS] = files[0];
    handover_clear(&second, HANDOVER_MARKER);
    second.fds[HANDOVER_MARKER_FD] = files[1];
    second.fds[HANDOVER_QUEUE] = files[2];
    cr_assert_eq(handover_send(ends[0], &first), 0);
    cr_assert_eq(handover_send(ends[0], &second), 0);
    cr_assert_eq(handover_receive(ends[1], &got), 0);
    cr_assert(got.kind == HANDOVER_JOIN && is_same_file(got.fds[HANDOVER_NETNS], files[0]));
    cr_assert(got.fds[HANDOVER_MARKER_FD] < 0 && got.fds[HANDOVER_QUEUE] < 0);
    handover_close(&got);
    cr_assert_eq(handover_receive(ends[1], &got), 0);
    cr_assert(got.kind == HANDOVER_MARKER && is_same_file(got.fds[HANDOVER_MARKER_FD], files[1]));
    cr_assert(got.fds[HANDOVER_NETNS] < 0 && is_same_file(got.fds[HANDOVER_QUEUE], files[2]));
    handover_close(&got);
    cr_assert_eq(handover_receive(ends[1], &got), -EAGAIN, "there is no third one");
}

/* --- what is no message --- */

Test(handover, another_length_is_refused)
{
    struct handover h;
    uint8_t octets[4 * HEAD];
    handover_clear(&h, HANDOVER_JOIN);
    h.present = 7;
    memset(octets, 0, sizeof octets);
    memcpy(octets, &h, HEAD);
    for (size_t n = 1; n <= sizeof octets; n++) {
        if (n == HEAD)
            continue;
        send_raw(octets, n, files, 3);
        expect_refused(-EPROTO);
        send_raw(octets, n, NULL, 0);
        expect_refused(-EPROTO);
    }
}

/* An empty message cannot be told from the end of the other side, but may have descriptors. */
Test(handover, an_empty_message_leaves_no_descriptor)
{
    for (int n = 1; n <= MOST; n++) {
        struct handover h;
        unsigned before = count_descriptors();
        send_raw("", 0, files, n);
        cr_assert_lt(handover_receive(ends[1], &h), 0);
        expect_no_descriptor(&h);
        cr_assert_eq(count_descriptors(), before, "%d descriptors", n);
    }
}

Test(handover, another_number_of_descriptors_is_refused)
{
    for (unsigned promised = 0; promised <= HANDOVER_FDS; promised++)
        for (int n = 0; n <= MOST; n++) {
            struct handover h;
            handover_clear(&h, HANDOVER_BEGIN);
            h.present = (1u << promised) - 1;
            send_raw(&h, HEAD, files, n);
            if (n != (int)promised) {
                expect_refused(-EPROTO);
                continue;
            }
            cr_assert_eq(handover_receive(ends[1], &h), 0);
            handover_close(&h);
        }
}

/* More descriptors may fit into aligned control data than HANDOVER_FDS. */
Test(handover, one_descriptor_too_many_is_refused)
{
    struct handover h;
    for (int n = HANDOVER_FDS + 1; n <= MOST; n++)
        for (int all = 0; all < 2; all++) {
            handover_clear(&h, HANDOVER_BEGIN);
            h.present = all ? UINT32_MAX : (1u << HANDOVER_FDS) - 1;
            send_raw(&h, HEAD, files, n);
            expect_refused(-EPROTO);
        }
}

Test(handover, an_ended_side_is_reported)
{
    struct handover h;
    cr_assert_eq(handover_receive(ends[1], &h), -EAGAIN);
    expect_no_descriptor(&h);
    close(ends[0]);
    cr_assert_eq(handover_receive(ends[1], &h), -ECONNRESET);
    expect_no_descriptor(&h);
    handover_clear(&h, HANDOVER_REPLY);
    cr_assert_eq(handover_send(ends[1], &h), -EPIPE, "without a signal");
    cr_assert_eq(handover_receive(-1, &h), -EBADF);
    cr_assert_eq(handover_send(-1, &h), -EBADF);
    ends[0] = -1;
}

Test(handover, a_descriptor_that_is_not_open_is_not_sent)
{
    struct handover h;
    int closed = fcntl(files[0], F_DUPFD_CLOEXEC, 500);
    close(closed);
    handover_clear(&h, HANDOVER_REPLY);
    h.fds[HANDOVER_NETNS] = closed;
    cr_assert_eq(handover_send(ends[0], &h), -EBADF);
    cr_assert_eq(handover_receive(ends[1], &h), -EAGAIN);
}

/* Limits this process to N free descriptors. Returns the limit before. */
static struct rlimit leave_descriptors(unsigned n)
{
    struct rlimit before, limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    for (limit.rlim_cur = 0; n > 0; limit.rlim_cur++)
        n -= fcntl((int)limit.rlim_cur, F_GETFD) < 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

/* The kernel then passes a part of the descriptors. */
Test(handover, a_part_of_the_descriptors_is_refused)
{
    for (unsigned n = 1; n <= HANDOVER_FDS; n++) {
        struct handover h;
        unsigned open = count_descriptors();
        handover_clear(&h, HANDOVER_BEGIN);
        for (int i = 0; i < HANDOVER_FDS; i++)
            h.fds[i] = files[i];
        cr_assert_eq(handover_send(ends[0], &h), 0);
        struct rlimit before = leave_descriptors(n);
        int result = handover_receive(ends[1], &h);
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        cr_assert_eq(result, n < HANDOVER_FDS ? -EPROTO : 0, "%u", n);
        handover_close(&h);
        cr_assert_eq(count_descriptors(), open, "%u", n);
    }
}

/* --- the address --- */

Test(handover, address_of_a_shared_state_and_a_user)
{
    static const uint64_t first[2] = {1, 0xfedcba9876543210}, other[2] = {0xfedcba9876543210, 1};
    struct sockaddr_un at, again;
    unsigned len = handover_address(&at, first, 1000);
    static const char name[] = "socks5-gateway-0000000000000001fedcba9876543210-1000";
    cr_assert_eq(at.sun_family, AF_UNIX);
    cr_assert_eq(at.sun_path[0], 0, "an abstract one");
    cr_assert_eq(len, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name), "without the NUL at its end");
    cr_assert_arr_eq(at.sun_path + 1, name, strlen(name));
    cr_assert_eq(handover_address(&again, first, 1000), len);
    cr_assert_arr_eq(&again, &at, sizeof at);
    handover_address(&again, other, 1000);
    cr_assert_neq(memcmp(&again, &at, sizeof at), 0);
    handover_address(&again, first, 1001);
    cr_assert_neq(memcmp(&again, &at, sizeof at), 0);
    static const uint64_t longest[2] = {UINT64_MAX, UINT64_MAX};
    len = handover_address(&at, longest, (uid_t)-1);
    cr_assert_leq(len, sizeof at);
    cr_assert_eq(len, offsetof(struct sockaddr_un, sun_path) + 1 +
                          strlen("socks5-gateway-ffffffffffffffffffffffffffffffff-4294967295"));
}

Test(handover, sockets_of_two_users_do_not_meet)
{
    const uint64_t id[2] = {(uint64_t)getpid(), 0x5eed};
    struct sockaddr_un at;
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    unsigned len = handover_address(&at, id, 1);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, len), 0);
    cr_assert_eq(listen(listener, 1), 0);
    len = handover_address(&at, id, 10);
    cr_assert_eq(connect(client, (struct sockaddr *)&at, len), -1);
    cr_assert_eq(errno, ECONNREFUSED);
    len = handover_address(&at, id, 1);
    cr_assert_eq(connect(client, (struct sockaddr *)&at, len), 0);
    close(client);
    close(listener);
}

/* A message of any content with any number of descriptors, as the gateway may receive one. The first octet is the
 * number of descriptors. Whatever the result is, each descriptor is in the result or closed. */
#include "fuzz.h"
#include "handover.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD offsetof(struct handover, fds)
#define MOST 32 /* descriptors in a message */

static int ends[2], null;

/* Returns the lowest number that is free. A descriptor that was left open has it, or a lower one. */
static int find_free(void)
{
    int fd = dup(null);
    CHECK(fd >= 0 && close(fd) == 0);
    return fd;
}

static void send_message(const uint8_t *data, size_t size, unsigned n)
{
    union {
        struct cmsghdr header;
        char octets[CMSG_SPACE(sizeof(int) * MOST)];
    } control = {.octets = {0}};
    struct iovec iov = {(void *)(uintptr_t)data, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n > 0) {
        control.header = (struct cmsghdr){CMSG_LEN(sizeof(int) * n), SOL_SOCKET, SCM_RIGHTS};
        for (unsigned i = 0; i < n; i++)
            memcpy(CMSG_DATA(&control.header) + sizeof(int) * i, &null, sizeof null);
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
    }
    CHECK(sendmsg(ends[0], &m, 0) == (ssize_t)size);
}

static unsigned count_fds(const struct handover *h)
{
    unsigned n = 0;
    for (int i = 0; i < HANDOVER_FDS; i++) {
        CHECK(h->fds[i] >= 0 || h->fds[i] == -1);
        CHECK(h->fds[i] < 0 || fcntl(h->fds[i], F_GETFD) == FD_CLOEXEC);
        n += h->fds[i] >= 0;
    }
    return n;
}

/* What was received is sent and received again. */
static void check_again(struct handover *h)
{
    struct handover again;
    CHECK(handover_send(ends[0], h) == 0);
    CHECK(handover_receive(ends[1], &again) == 0);
    CHECK(memcmp(h, &again, HEAD) == 0 && count_fds(h) == count_fds(&again));
    for (int i = 0; i < HANDOVER_FDS; i++) {
        bool has = again.present & 1u << i;
        CHECK(has == (h->fds[i] >= 0) && has == (again.fds[i] >= 0));
    }
    handover_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct handover h;
    if (ends[1] == 0) {
        CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        null = open("/dev/null", O_RDWR | O_CLOEXEC);
        CHECK(null >= 0);
    }
    if (size < 1 || size > 4096)
        return 0;
    unsigned n = data[0] % MOST;
    int before = find_free();
    send_message(data + 1, size - 1, n);
    memset(&h, 0xa5, sizeof h);
    int result = handover_receive(ends[1], &h);
    unsigned got = count_fds(&h);
    CHECK(result == 0 || result == -EPROTO || (result == -ECONNRESET && size == 1 && n == 0));
    CHECK(got == (result == 0 ? n : 0) && (result < 0 || size - 1 == HEAD));
    if (result == 0)
        check_again(&h);
    handover_close(&h);
    CHECK(find_free() == before);
    return 0;
}

/* Passes sockets to other processes over a UNIX socket: HOST PORT [UDP-PORT]. The receivers are started before
 * any of the sockets exists. They must see the peer that was connected to and can send and receive. */
#include "app.h"
#include <sys/uio.h>

static struct peer peer, datagrams;

/* --- messages with descriptors --- */

union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(2 * sizeof(int))];
};

/* Sends WHAT with N descriptors; by sendmmsg() if MANY. Returns 0 or an errno. */
static int send_message(int over, char what, const int *fds, size_t n, int flags, bool many)
{
    union control c = {.room = {0}};
    struct iovec iov = {&what, 1};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    if (n) {
        m.msg_hdr.msg_control = &c;
        m.msg_hdr.msg_controllen = CMSG_SPACE(n * sizeof(int));
        c.header.cmsg_level = SOL_SOCKET;
        c.header.cmsg_type = SCM_RIGHTS;
        c.header.cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(&c.header), fds, n * sizeof(int));
    }
    if (many)
        return sendmmsg(over, &m, 1, flags) == 1 ? 0 : errno;
    return sendmsg(over, &m.msg_hdr, flags) == 1 ? 0 : errno;
}

/* Receives the next message and at most ROOM descriptors, whose number goes to *RET_N. */
static char receive_message(int over, int *fds, size_t *ret_n, size_t room, int flags, bool many)
{
    union control c;
    char what = 0;
    struct iovec iov = {&what, 1};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c,
                                    .msg_controllen = CMSG_LEN(room * sizeof(int))}};
    ssize_t r = many ? recvmmsg(over, &m, 1, flags, NULL) : recvmsg(over, &m.msg_hdr, flags);
    *ret_n = 0;
    if (r <= 0)
        return 0;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m.msg_hdr);
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
        *ret_n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(h), *ret_n * sizeof(int));
    }
    return what;
}

/* --- the receiver --- */

static void datagram_echo(int fd, const char *text)
{
    char back[64];
    CHECK(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
    wait_for(fd, POLLIN);
    ssize_t n = recv(fd, back, sizeof back, 0);
    if (n != (ssize_t)strlen(text) || memcmp(back, text, (size_t)n) != 0)
        FAIL("the echo of \"%s\" has %zd octets", text, n);
}

static void use_stream(int fd)
{
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    check_names(fd, &peer);
    echo(fd, "passed on");
}

static void use_datagrams(int fd, bool connected)
{
    char back[64];
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    if (connected) {
        check_names(fd, &datagrams);
        for (int i = 0; i < 4; i++) {
            datagram_echo(fd, "a datagram");
            usleep(120000); /* the sender has closed its descriptor by now */
        }
        return;
    }
    for (int i = 0; i < 4; i++) {
        CHECK(sendto(fd, "datagram", 8, 0, peer_addr(&datagrams), datagrams.len) == 8);
        wait_for(fd, POLLIN);
        len = sizeof from;
        CHECK(recvfrom(fd, back, sizeof back, 0, (struct sockaddr *)&from, &len) == 8);
        CHECK(len == datagrams.len && memcmp(&from, peer_addr(&datagrams), 8) == 0);
        usleep(120000);
    }
}

/* Uses each socket as the message requests, until there are no more messages. Sockets to be forwarded go to NEXT. */
static void run_receiver(int over, int next)
{
    int fds[2];
    size_t n;
    char what;
    while ((what = receive_message(over, fds, &n, 2, MSG_CMSG_CLOEXEC, false))) {
        if (what == 'f') { /* forward it */
            CHECK(n == 1 && send_message(next, 's', fds, 1, 0, false) == 0);
            close(fds[0]);
            CHECK(receive_message(next, fds, &n, 2, 0, false) == 'k');
        } else if (what == 's')
            for (size_t i = 0; i < n; i++)
                use_stream(fds[i]);
        else if (what == 'u' || what == 'U')
            use_datagrams(fds[0], what == 'u');
        else
            FAIL("unknown request '%c'", what);
        CHECK(what == 'f' || n > 0);
        for (size_t i = 0; what != 'f' && i < n; i++) {
            CHECK(fcntl(fds[i], F_GETFD) == FD_CLOEXEC);
            close(fds[i]);
        }
        CHECK(send_message(over, 'k', NULL, 0, 0, false) == 0);
    }
    exit(0);
}

/* --- the sender --- */

static void await_reply(int over)
{
    int fds[2];
    size_t n;
    CHECK(receive_message(over, fds, &n, 2, 0, false) == 'k' && n == 0);
}

static int udp_socket(bool connected)
{
    int fd = socket(datagrams.family, SOCK_DGRAM, 0);
    CHECK(fd >= 0);
    if (connected) {
        CHECK(connect(fd, peer_addr(&datagrams), datagrams.len) == 0);
        datagram_echo(fd, "the first");
    } else {
        char back[16];
        CHECK(sendto(fd, "datagram", 8, 0, peer_addr(&datagrams), datagrams.len) == 8);
        wait_for(fd, POLLIN);
        CHECK(recv(fd, back, sizeof back, 0) == 8);
    }
    return fd;
}

static void pass_to_process(int over)
{
    int fds[2] = {tcp_begin(&peer), -1}, r;
    /* In flight, and the send may block. */
    CHECK(send_message(over, 's', fds, 1, 0, false) == 0);
    close(fds[0]);
    await_reply(over);

    /* In flight, and the send may not block: EAGAIN, as if the buffer were full. */
    fds[0] = tcp_begin(&peer);
    while ((r = send_message(over, 's', fds, 1, MSG_DONTWAIT, true)) != 0) {
        CHECK(r == EAGAIN);
        wait_for(fds[0], POLLOUT);
    }
    close(fds[0]);
    await_reply(over);

    /* Connected, with the same descriptor twice in one message. */
    fds[0] = tcp_connect(&peer);
    fds[1] = fds[0];
    CHECK(send_message(over, 's', fds, 2, 0, true) == 0);
    await_reply(over);
    echo(fds[0], "still here");
    close(fds[0]);

    fds[0] = tcp_connect(&peer);
    CHECK(send_message(over, 'f', fds, 1, 0, false) == 0);
    close(fds[0]);
    await_reply(over);
}

static void pass_to_self(void)
{
    int pair[2], fds[2], fd, again[2];
    size_t n;
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    fd = tcp_begin(&peer);
    CHECK(send_message(pair[0], 'x', &fd, 1, 0, false) == 0);
    close(fd);
    CHECK(receive_message(pair[1], again, &n, 2, MSG_PEEK, false) == 'x' && n == 1);
    CHECK(receive_message(pair[1], fds, &n, 2, 0, true) == 'x' && n == 1);
    use_stream(again[0]);
    close(again[0]);
    use_stream(fds[0]);
    /* The control buffer of the receiver holds only one descriptor. */
    int two[2] = {fds[0], tcp_connect(&peer)};
    CHECK(send_message(pair[0], 'x', two, 2, 0, false) == 0);
    CHECK(receive_message(pair[1], again, &n, 1, 0, false) == 'x' && n == 1);
    use_stream(again[0]);
    use_stream(two[0]);
    use_stream(two[1]);
    close(again[0]);
    close(two[0]);
    close(two[1]);
    /* The message is received without its descriptor. */
    fd = tcp_connect(&peer);
    CHECK(send_message(pair[0], 'x', &fd, 1, 0, false) == 0);
    close(fd);
    char octet;
    CHECK(recv(pair[1], &octet, 1, 0) == 1 && octet == 'x');
    close(pair[0]);
    close(pair[1]);
    /* The number is now that of a file. */
    fd = open("/dev/null", O_WRONLY);
    CHECK(fd >= 0 && write(fd, "x", 1) == 1);
    close(fd);
}

static void pass_datagrams(int over)
{
    for (int connected = 0; connected < 2; connected++) {
        int fd = udp_socket(connected);
        CHECK(send_message(over, connected ? 'u' : 'U', &fd, 1, 0, false) == 0);
        close(fd);
        await_reply(over);
    }
}

int main(int argc, char **argv)
{
    int first[2], second[2];
    peer = peer_from(argc, argv);
    if (argc > 3)
        datagrams = peer_of(argv[1], argv[3]);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, first) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, second) == 0);
    pid_t one = fork(), other = one ? fork() : -1;
    if (one == 0) {
        close(first[0]);
        close(second[1]);
        run_receiver(first[1], second[0]);
    } else if (other == 0) {
        close(second[0]);
        close(first[0]);
        close(first[1]);
        run_receiver(second[1], -1);
    }
    close(first[1]);
    close(second[0]);
    close(second[1]);
    pass_to_process(first[0]);
    pass_to_self();
    if (argc > 3)
        pass_datagrams(first[0]);
    close(first[0]);
    child_ends(one);
    child_ends(other);
    return 0;
}

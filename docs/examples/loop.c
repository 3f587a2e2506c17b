/* Fetches a page with a poll() loop: loop SERVER-ADDRESS SERVER-PORT HOST PORT PATH
 *
 * The session owns no descriptor and never blocks. The loop writes the session's output when the socket is
 * writable and reads the session's input when the socket is readable. It could poll other descriptors, too. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <socks5client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One step: FD is ready for REVENTS. Reads no more than the negotiation needs, because the octets after it belong
 * to the application. */
static void step_session(struct socks5_session *s, int fd, short revents)
{
    unsigned char in[512];
    size_t len, need = socks5_session_need(s);
    const void *out = socks5_session_out(s, &len);
    ssize_t n;
    if (revents & POLLOUT && len > 0 && (n = send(fd, out, len, MSG_NOSIGNAL)) > 0)
        socks5_session_sent(s, (size_t)n);
    if (!(revents & (POLLIN | POLLHUP | POLLERR)) || need == 0)
        return;
    n = recv(fd, in, need < sizeof in ? need : sizeof in, 0);
    if (n > 0)
        socks5_session_feed(s, in, (size_t)n);
    else if (n == 0 || errno != EAGAIN)
        socks5_session_eof(s);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    struct socks5_options options = {.size = sizeof options,
                                     .command = SOCKS5_CONNECT,
                                     .host = argv[3],
                                     .port = (uint16_t)atoi(argv[4])};
    struct socks5_session *s = socks5_session_new();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), state;
    if (!s || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 ||
        socks5_session_start(s, &options) < 0)
        return 2;
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
        return 1;
    while ((state = socks5_session_state(s)) != SOCKS5_STATE_DONE && state != SOCKS5_STATE_FAILED) {
        size_t len;
        socks5_session_out(s, &len);
        struct pollfd p = {.fd = fd, .events = (short)(len ? POLLIN | POLLOUT : POLLIN)};
        if (poll(&p, 1, 10000) == 0)
            break;
        step_session(s, fd, p.revents);
    }
    if (state != SOCKS5_STATE_DONE) {
        fprintf(stderr, "loop: %s: %s\n", socks5_session_phase(s),
                strerror(state == SOCKS5_STATE_FAILED ? -socks5_session_error(s) : ETIMEDOUT));
        return 1;
    }
    socks5_session_free(s);
    dprintf(fd, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", argv[5], argv[3]);
    char buf[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;
    while (poll(&p, 1, 10000) > 0 && (n = read(fd, buf, sizeof buf)) > 0)
        fwrite(buf, 1, (size_t)n, stdout);
    return 0;
}

/* Uses the blocking functions of the library with GSSAPI and the SOCKS server at SERVER PORT, whose Kerberos name
 * is NAME. Reads commands and prints results as torture.c does. HOW is the least protection. The second column is
 * the number of octets that the stream delivers within A_WHILE, 0 at its end, -1 for none. If receiving fails,
 * the errno replaces "ok". */
#include "app.h"
#include <socks5client_gssapi.h>
#include <stdlib.h>

#define A_WHILE 150 /* ms */

static struct peer server;
static const char *name;
static int timeout; /* ms */

/* Returns the number of octets received from the protected stream over FD, or -errno. */
static ssize_t receive_count(int fd, struct socks5_session *session)
{
    struct timeval limit = {0, A_WHILE * 1000};
    struct socks5_stream *stream;
    char text[256];
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    CHECK(socks5_stream_new(&stream, fd, session) == 0);
    ssize_t n = socks5_stream_recv(stream, text, sizeof(text));
    socks5_stream_free(stream);
    return n;
}

static void run_command(const char *how, const char *host, const char *port)
{
    struct socks5_gssapi gssapi = {.size = sizeof(gssapi), .host = name};
    struct socks5_options options = {.size = sizeof(options), .command = SOCKS5_CONNECT, .host = host};
    struct socks5_session *session = socks5_session_new();
    alarm(60); /* no command may take longer */
    int fd = tcp_connect(&server);
    ssize_t octets = -EAGAIN;
    gssapi.protection = strcmp(how, "integrity") == 0 ? SOCKS5_INTEGRITY : SOCKS5_CONFIDENTIALITY;
    options.port = (uint16_t)atoi(port);
    CHECK(socks5_session_gssapi(session, &gssapi) == 0);
    CHECK(socks5_session_start(session, &options) == 0);
    int r = socks5_session_run(session, fd, timeout);
    CHECK(r == socks5_session_error(session) || r == -ETIMEDOUT);
    if (r == 0)
        octets = receive_count(fd, session);
    if (octets < 0 && octets != -EAGAIN)
        r = (int)octets;
    socks5_session_free(session);
    close(fd);
    printf("%s %zd %d\n", r ? strerrorname_np(-r) : "ok", octets < 0 ? -1 : octets, open_descriptors());
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char how[32], host[64], port[16];
    if (argc != 5)
        FAIL("usage: %s SERVER PORT NAME MILLISECONDS", argv[0]);
    server = peer_from(3, argv);
    name = argv[3];
    timeout = atoi(argv[4]);
    while (scanf("%31s %63s %15s", how, host, port) == 3)
        run_command(how, host, port);
    return 0;
}

/* Compares the bridge with gss_wrap() alone. One program with several parts:
 *
 *   sealed wrap LEVEL MB       gss_wrap() alone, in this process: octets per second
 *   sealed serve PORT          a SOCKS5 server, with GSSAPI or without authentication. The requested port says
 *                              what is behind it: 1 discards, 2 sends as many MB as the low octet of the
 *                              address says times 16, 3 echoes
 *   sealed up PORT MB          writes through the plain SOCKS5 server at PORT: octets per second
 *   sealed down PORT MB        reads through it
 *   sealed connects PORT N     negotiations per second
 *   sealed latency PORT N      microseconds for an octet there and back
 *
 * A server that sends has sealed everything beforehand, so that only the bridge is measured. */
#include <arpa/inet.h>
#include <gssapi/gssapi.h>
#include <gssapi/gssapi_ext.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PLAIN 65300
static uint8_t buffer[1 << 17], other[1 << 17];

static void require_success(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static double get_time(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void send_all(int fd, const void *data, size_t n)
{
    require_success(send(fd, data, n, MSG_NOSIGNAL) == (ssize_t)n, "send");
}

static void receive_exactly(int fd, void *data, size_t n)
{
    if (recv(fd, data, n, MSG_WAITALL) != (ssize_t)n)
        exit(0);
}

/* --- the server --- */

static size_t receive_token(int fd, uint8_t *token)
{
    uint8_t head[4];
    receive_exactly(fd, head, 4);
    size_t n = (size_t)(head[2] << 8 | head[3]);
    receive_exactly(fd, token, n);
    return n;
}

static size_t write_head(uint8_t *at, int type, size_t n)
{
    at[0] = 1, at[1] = (uint8_t)type, at[2] = (uint8_t)(n >> 8), at[3] = (uint8_t)n;
    return 4;
}

static size_t wrap_message(gss_ctx_id_t context, int type, int conf, const void *data, size_t n, uint8_t *to)
{
    OM_uint32 minor;
    gss_buffer_desc in = {n, (void *)(uintptr_t)data}, out;
    require_success(gss_wrap(&minor, context, conf, 0, &in, NULL, &out) == 0, "gss_wrap");
    size_t len = out.length + write_head(to, type, out.length);
    memcpy(to + 4, out.value, out.length);
    gss_release_buffer(&minor, &out);
    return len;
}

static void unwrap_message(gss_ctx_id_t context, size_t n, uint8_t *to)
{
    OM_uint32 minor;
    gss_buffer_desc in = {n, buffer}, out;
    require_success(!GSS_ERROR(gss_unwrap(&minor, context, &in, &out, NULL, NULL)), "gss_unwrap");
    memcpy(to, out.value, out.length);
    gss_release_buffer(&minor, &out);
}

static gss_ctx_id_t accept_context(int fd, uint8_t *level)
{
    OM_uint32 minor;
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;
    gss_buffer_desc in = {receive_token(fd, buffer), buffer}, out;
    require_success(gss_accept_sec_context(&minor, &context, GSS_C_NO_CREDENTIAL, &in,
                                           GSS_C_NO_CHANNEL_BINDINGS, NULL, NULL, &out, NULL, NULL,
                                           NULL) == 0, "accept");
    write_head(other, 1, out.length);
    memcpy(other + 4, out.value, out.length);
    send_all(fd, other, out.length + 4);
    unwrap_message(context, receive_token(fd, buffer), level);
    send_all(fd, other, wrap_message(context, 2, 0, level, 1, other));
    return context;
}

static void send_source(int fd, gss_ctx_id_t context, int level, size_t mb, const uint8_t *ok, size_t n)
{
    size_t total = mb << 20, room = total + (total / PLAIN + 2) * 128, at = 0;
    uint8_t *out = malloc(room);
    require_success(out != NULL, "malloc");
    for (size_t done = 0; done < total; done += PLAIN)
        if (level)
            at += wrap_message(context, 3, level == 2, buffer, PLAIN, out + at);
        else
            at += PLAIN;
    send_all(fd, ok, n);
    if (recv(fd, other, sizeof other, 0) <= 0) /* the octet of the client, sealed or not */
        exit(0);
    send_all(fd, out, at);
}

static void serve_connection(int fd)
{
    static const uint8_t ok[] = {5, 0, 0, 1, 127, 0, 0, 1, 0, 1};
    gss_ctx_id_t context = GSS_C_NO_CONTEXT;
    uint8_t level = 0, request[16], head[2], reply[256];
    size_t n = sizeof ok;
    ssize_t got;
    receive_exactly(fd, head, 2);
    receive_exactly(fd, buffer, head[1]);
    int gssapi = memchr(buffer, 1, head[1]) != NULL;
    send_all(fd, gssapi ? "\5\1" : "\5", 2);
    if (gssapi)
        context = accept_context(fd, &level);
    if (level) {
        unwrap_message(context, receive_token(fd, buffer), request);
    } else
        receive_exactly(fd, request, 10);
    memcpy(reply, ok, sizeof ok);
    if (request[9] == 2) { /* messages are sealed in order: the reply first */
        if (level)
            n = wrap_message(context, 3, level == 2, ok, sizeof ok, reply);
        send_source(fd, context, level, request[7] * 16u, reply, n);
        return;
    }
    if (level)
        n = wrap_message(context, 3, level == 2, ok, sizeof ok, reply);
    send_all(fd, reply, n);
    if (request[9] == 1) {
        while (recv(fd, buffer, sizeof buffer, MSG_TRUNC) > 0)
            ;
        return;
    }
    if (level)
        for (;;) {
            uint8_t octet[64];
            unwrap_message(context, receive_token(fd, buffer), octet);
            send_all(fd, reply, wrap_message(context, 3, level == 2, octet, 1, reply));
        }
    while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0)
        send_all(fd, buffer, (size_t)got);
}

static void run_server(int port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    require_success(bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd, 512) == 0, "listen");
    for (;;) {
        int peer = accept(fd, NULL, NULL);
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (fork() == 0) {
            if (fork() == 0)
                serve_connection(peer);
            _exit(0);
        }
        close(peer);
        while (wait(NULL) > 0)
            ;
    }
}

/* --- the client --- */

static int open_request(int port, int what, int mb)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t messages[] = {5, 1, 0, 5, 1, 0, 1, 10, 0, 0, (uint8_t)(mb / 16), 0, (uint8_t)what};
    require_success(connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0, "connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    send_all(fd, messages, sizeof messages);
    require_success(recv(fd, buffer, 12, MSG_WAITALL) == 12 && buffer[3] == 0, "reply");
    return fd;
}

static void measure_up(int port, int mb)
{
    int fd = open_request(port, 1, 0);
    double begun = get_time();
    for (size_t done = 0; done < (size_t)mb << 20; done += 65536)
        send_all(fd, buffer, 65536);
    shutdown(fd, SHUT_WR);
    recv(fd, buffer, 1, 0);
    printf("%.0f\n", mb * 1048576.0 / (get_time() - begun));
}

static void measure_down(int port, int mb)
{
    int fd = open_request(port, 2, mb);
    double begun = get_time();
    size_t total = 0;
    ssize_t n;
    send_all(fd, "go", 1);
    while ((n = recv(fd, buffer, sizeof buffer, MSG_TRUNC)) > 0)
        total += (size_t)n;
    require_success(total >= (size_t)mb << 20, "octets");
    printf("%.0f\n", (double)total / (get_time() - begun));
}

static void measure_connects(int port, int n)
{
    double begun = get_time();
    for (int i = 0; i < n; i++)
        close(open_request(port, 1, 0));
    printf("%.0f\n", n / (get_time() - begun));
}

static void measure_latency(int port, int n)
{
    int fd = open_request(port, 3, 0);
    double begun = get_time();
    for (int i = 0; i < n; i++) {
        send_all(fd, "x", 1);
        receive_exactly(fd, buffer, 1);
    }
    printf("%.1f\n", (get_time() - begun) / n * 1e6);
}

/* --- gss_wrap alone --- */

static void measure_wrap(int level, int mb)
{
    static gss_OID_desc type = {10, (void *)"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04"};
    OM_uint32 minor;
    gss_name_t name;
    gss_ctx_id_t ours = GSS_C_NO_CONTEXT, theirs = GSS_C_NO_CONTEXT;
    gss_buffer_desc text = {15, (void *)"rcmd@proxy.test"}, token, answer, none;
    require_success(gss_import_name(&minor, &text, &type, &name) == 0, "name");
    require_success(gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &ours, name, NULL,
                                         GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG, 0, NULL,
                                         NULL, NULL, &token, NULL, NULL) <= 1, "init");
    require_success(gss_accept_sec_context(&minor, &theirs, NULL, &token, NULL, NULL, NULL, &answer, NULL,
                                           NULL, NULL) == 0, "accept");
    require_success(gss_init_sec_context(&minor, GSS_C_NO_CREDENTIAL, &ours, name, NULL,
                                         GSS_C_MUTUAL_FLAG | GSS_C_REPLAY_FLAG | GSS_C_SEQUENCE_FLAG, 0, NULL,
                                         &answer, NULL, &none, NULL, NULL) == 0, "init");
    double begun = get_time();
    size_t done = 0;
    for (; done < (size_t)mb << 20; done += PLAIN) {
        gss_buffer_desc in = {PLAIN, buffer}, out;
        require_success(gss_wrap(&minor, ours, level == 2, 0, &in, NULL, &out) == 0, "gss_wrap");
        gss_release_buffer(&minor, &out);
    }
    printf("%.0f\n", (double)done / (get_time() - begun));
}

int main(int argc, char **argv)
{
    require_success(argc >= 3, "usage");
    int a = atoi(argv[2]), b = argc > 3 ? atoi(argv[3]) : 0;
    if (strcmp(argv[1], "wrap") == 0)
        measure_wrap(a, b);
    else if (strcmp(argv[1], "serve") == 0)
        run_server(a);
    else if (strcmp(argv[1], "up") == 0)
        measure_up(a, b);
    else if (strcmp(argv[1], "down") == 0)
        measure_down(a, b);
    else if (strcmp(argv[1], "connects") == 0)
        measure_connects(a, b);
    else
        measure_latency(a, b);
    return 0;
}

/* Direct clients: the functions of the library, with the installed GSSAPI library on the other side. */
#include "acceptor.h"
#include "socks5client_gssapi.h"
#include <pthread.h>
#include <sys/socket.h>

struct server {
    int fd, udp;
    bool conf;
    gss_ctx_id_t context;
    uint8_t in[S5_GSS_MESSAGE_MAX], out[S5_GSS_MESSAGE_MAX];
};

static void receive_whole(int fd, void *to, size_t n)
{
    cr_assert_eq(recv(fd, to, n, MSG_WAITALL), (ssize_t)n);
}

/* Receives the next message and unwraps it into s->in. Returns its length, or -1 at the end of file. */
static ssize_t receive_message(struct server *s, enum s5_gss_mtyp mtyp, bool conf)
{
    if (recv(s->fd, s->in, 4, MSG_WAITALL) != 4)
        return -1;
    size_t n = (size_t)(s->in[2] << 8 | s->in[3]);
    receive_whole(s->fd, s->in + 4, n);
    if (mtyp == S5_GSS_CONTEXT)
        return (ssize_t)n;
    return (ssize_t)acceptor_unwrap(s->context, mtyp, conf, s->in, n + 4, s->in);
}

static void send_message(struct server *s, enum s5_gss_mtyp mtyp, bool conf, const void *data, size_t n)
{
    n = acceptor_wrap(s->context, mtyp, conf, data, n, s->out);
    cr_assert_eq(send(s->fd, s->out, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Negotiates and then echoes messages until the end. */
static void *run_server(void *user)
{
    struct server *s = user;
    uint8_t words[8];
    size_t len;
    receive_whole(s->fd, words, 2);
    receive_whole(s->fd, words + 2, words[1]);
    cr_assert_eq(words[2], 1);
    cr_assert_eq(send(s->fd, "\5\1", 2, 0), 2);
    ssize_t n = receive_message(s, S5_GSS_CONTEXT, false);
    acceptor_step(&s->context, s->in + 4, (size_t)n, s->out + 4, &len);
    s5_gss_frame_head(s->out, S5_GSS_CONTEXT, len);
    cr_assert_eq(send(s->fd, s->out, len + 4, 0), (ssize_t)len + 4);
    cr_assert_eq(receive_message(s, S5_GSS_LEVEL, false), 1);
    s->conf = s->in[0] == 2;
    uint8_t level = s->in[0];
    send_message(s, S5_GSS_LEVEL, false, &level, 1);
    if (!level) {
        receive_whole(s->fd, s->in, 10);
        cr_assert_eq(send(s->fd, "\5\0\0\1\1\2\3\4\0\7", 10, 0), 10);
        while ((n = recv(s->fd, s->in, sizeof s->in, 0)) > 0)
            send(s->fd, s->in, (size_t)n, MSG_NOSIGNAL);
    } else {
        receive_message(s, S5_GSS_DATA, s->conf);
        send_message(s, S5_GSS_DATA, s->conf, "\5\0\0\1\1\2\3\4\0\7" "early", 15);
        while ((n = receive_message(s, S5_GSS_DATA, s->conf)) > 0)
            send_message(s, S5_GSS_DATA, s->conf, s->in, (size_t)n);
    }
    shutdown(s->fd, SHUT_WR);
    return NULL;
}

static struct socks5_session *make_session(int fd, int protection)
{
    struct socks5_session *session = socks5_session_new();
    struct socks5_gssapi gssapi = {.size = sizeof gssapi, .host = HOST, .protection = protection};
    struct socks5_options options = {.size = sizeof options, .command = SOCKS5_CONNECT,
                                     .host = "192.0.2.1", .port = 80};
    cr_assert_eq(socks5_session_gssapi(session, &gssapi), 0);
    cr_assert_eq(socks5_session_gssapi(session, &gssapi), -EINVAL);
    cr_assert_eq(socks5_session_start(session, &options), 0);
    int r = socks5_session_run(session, fd, 20000);
    cr_assert_eq(r, 0, "%d: %s", r, socks5_session_why(session));
    return session;
}

static void start_server(struct server *s, int *ret_fd, pthread_t *ret_thread)
{
    int ends[2];
    *s = (struct server){.context = GSS_C_NO_CONTEXT};
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    s->fd = ends[1];
    *ret_fd = ends[0];
    cr_assert_eq(pthread_create(ret_thread, NULL, run_server, s), 0);
}

static void stop_server(struct server *s, int fd, pthread_t thread)
{
    OM_uint32 minor;
    close(fd);
    pthread_join(thread, NULL);
    close(s->fd);
    gss_delete_sec_context(&minor, &s->context, NULL);
}

Test(gss_api, streams_at_every_level)
{
    static struct server s;
    static uint8_t data[200000], back[200000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 2654435761U >> 11);
    for (int level = 0; level <= 2; level++) {
        pthread_t thread;
        int fd;
        struct socks5_stream *stream;
        start_server(&s, &fd, &thread);
        struct socks5_session *session = make_session(fd, level);
        cr_assert_eq(socks5_stream_new(&stream, fd, session), 0);
        socks5_session_free(session);
        if (level) {
            cr_assert_eq(socks5_stream_pending(stream), 5);
            cr_assert_eq(socks5_stream_recv(stream, back, 2), 2);
            cr_assert_eq(socks5_stream_recv(stream, back + 2, 100), 3);
            cr_assert_eq(memcmp(back, "early", 5), 0);
        }
        for (size_t n = 1; n <= 60000; n = n * 3 + 1) {
            cr_assert_eq(socks5_stream_send(stream, data, n), (ssize_t)n);
            for (size_t at = 0; at < n;) {
                ssize_t got = socks5_stream_recv(stream, back + at, n - at);
                cr_assert_gt(got, 0);
                at += (size_t)got;
            }
            cr_assert_eq(memcmp(back, data, n), 0);
        }
        cr_assert_eq(socks5_stream_shutdown(stream), 0);
        cr_assert_eq(socks5_stream_recv(stream, back, 1), 0);
        socks5_stream_free(stream);
        stop_server(&s, fd, thread);
    }
}

Test(gss_api, a_deadline_within_a_message)
{
    static struct server s;
    uint8_t message[512], back[64];
    struct timeval limit = {0, 20000};
    pthread_t thread;
    int fd;
    struct socks5_stream *stream;
    start_server(&s, &fd, &thread);
    struct socks5_session *session = make_session(fd, 2);
    cr_assert_eq(socks5_stream_new(&stream, fd, session), 0);
    socks5_session_free(session);
    cr_assert_eq(socks5_stream_recv(stream, back, sizeof back), 5);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    size_t len = acceptor_wrap(s.context, S5_GSS_DATA, true, "late", 4, message);
    for (size_t i = 0; i < 3; i++) { /* nothing, a part of the head, a part of the rest */
        size_t from = i ? i * 3 : 0, to = (i + 1) * 3;
        cr_assert_eq(socks5_stream_recv(stream, back, sizeof back), -EAGAIN);
        cr_assert_eq(send(s.fd, message + from, to - from, 0), (ssize_t)(to - from));
    }
    cr_assert_eq(socks5_stream_recv(stream, back, sizeof back), -EAGAIN);
    cr_assert_eq(send(s.fd, message + 9, len - 9, 0), (ssize_t)len - 9);
    cr_assert_eq(socks5_stream_recv(stream, back, sizeof back), 4);
    cr_assert_eq(memcmp(back, "late", 4), 0);
    socks5_stream_free(stream);
    stop_server(&s, fd, thread);
}

Test(gss_api, a_seal_without_a_descriptor)
{
    static struct server s;
    static uint8_t message[SOCKS5_MESSAGE_MAX + 9], back[SOCKS5_MESSAGE_MAX];
    pthread_t thread;
    int fd;
    size_t used;
    start_server(&s, &fd, &thread);
    struct socks5_session *session = make_session(fd, 2);
    struct socks5_seal *seal = socks5_session_seal(session);
    cr_assert_not_null(seal);
    cr_assert_null(socks5_session_seal(session));
    socks5_session_free(session);
    close(fd);
    pthread_join(thread, NULL);
    ssize_t n = socks5_seal_wrap(seal, "some words", 10, message, sizeof message);
    cr_assert_gt(n, 14);
    cr_assert_eq(acceptor_unwrap(s.context, S5_GSS_DATA, true, message, (size_t)n, back), 10);
    size_t len = acceptor_wrap(s.context, S5_GSS_DATA, true, "others", 6, message);
    memcpy(message + len, "\1\3\0", 3); /* and the beginning of the next one */
    for (size_t i = 0; i < len; i++)
        cr_assert_eq(socks5_seal_unwrap(seal, message, i, back, sizeof back, &used), -EAGAIN);
    cr_assert_eq(socks5_seal_unwrap(seal, message, len + 3, back, sizeof back, &used), 6);
    cr_assert(used == len && memcmp(back, "others", 6) == 0);
    cr_assert_eq(socks5_seal_unwrap(seal, message, len, back, sizeof back, &used), -EPROTO);
    cr_assert_eq(socks5_seal_unwrap(seal, message + len, 3, back, sizeof back, &used), -EAGAIN);
    cr_assert_eq(socks5_seal_wrap(seal, message, 0, back, sizeof back), -EINVAL);
    cr_assert_gt(socks5_seal_most(seal), 65000);
    len = acceptor_wrap(s.context, S5_GSS_DATA, true, "first", 5, message);
    size_t more = acceptor_wrap(s.context, S5_GSS_DATA, true, "second", 6, message + len);
    cr_assert_eq(socks5_seal_unwrap_datagram(seal, message + len, more, back, sizeof back), 6);
    cr_assert_eq(socks5_seal_unwrap_datagram(seal, message, len, back, sizeof back), 5);
    cr_assert_eq(socks5_seal_unwrap_datagram(seal, message, len, back, sizeof back), -EPROTO);
    cr_assert_eq(socks5_seal_unwrap_datagram(seal, message, 0, back, sizeof back), -EPROTO);
    socks5_seal_free(seal);
}

Test(gss_api, datagrams)
{
    static struct server s;
    uint8_t message[512], back[64];
    pthread_t thread;
    int fd, pair[2];
    struct socks5_stream *stream;
    start_server(&s, &fd, &thread);
    struct socks5_session *session = make_session(fd, 1);
    cr_assert_eq(socks5_stream_new(&stream, fd, session), 0);
    socks5_session_free(session);
    shutdown(fd, SHUT_WR);
    pthread_join(thread, NULL);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    cr_assert_eq(socks5_stream_send_datagram(stream, pair[0], "header+data", 11), 11);
    ssize_t n = recv(pair[1], message, sizeof message, 0);
    cr_assert_eq(acceptor_unwrap(s.context, S5_GSS_DATA, false, message, (size_t)n, back), 11);
    cr_assert_eq(send(pair[1], "bare", 4, 0), 4); /* skipped */
    size_t len = acceptor_wrap(s.context, S5_GSS_DATA, false, "answer", 6, message);
    cr_assert_eq(send(pair[1], message, len, 0), (ssize_t)len);
    cr_assert_eq(socks5_stream_recv_datagram(stream, pair[0], back, sizeof back), 6);
    cr_assert_eq(memcmp(back, "answer", 6), 0);
    socks5_stream_free(stream);
    close(fd);
}

/* Returns a stream of SESSION over a new pair of sockets. *RET_PEER is the other end. */
static struct socks5_stream *make_stream(struct socks5_session *session, int *ret_fd, int *ret_peer)
{
    int pair[2];
    char early[5];
    struct socks5_stream *stream;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cr_assert_eq(socks5_stream_new(&stream, pair[0], session), 0);
    cr_assert_eq(socks5_stream_recv(stream, early, 5), 5);
    *ret_fd = pair[0];
    *ret_peer = pair[1];
    return stream;
}

Test(gss_api, streams_that_end_badly)
{
    static struct server s;
    static const struct {
        const char *octets;
        size_t n;
    } ends[] = {{"\1\3\0\5ab", 6}, {"\1", 1}, {"\2\3\0\1x", 5}, {"\1\1\0\1x", 5},
                {"\1\3\0\0", 4}, {"\1\3\0\4junk", 8}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        pthread_t thread;
        int fd, own, peer;
        char buf[8];
        start_server(&s, &fd, &thread);
        struct socks5_session *session = make_session(fd, 2);
        struct socks5_stream *stream = make_stream(session, &own, &peer), *second;
        cr_assert_eq(socks5_stream_new(&second, own, session), -EINVAL, "its seal is taken");
        socks5_session_free(session);
        cr_assert_eq(socks5_stream_recv(stream, buf, 0), 0);
        cr_assert_eq(send(peer, ends[i].octets, ends[i].n, 0), (ssize_t)ends[i].n);
        shutdown(peer, SHUT_WR);
        cr_assert_eq(socks5_stream_recv(stream, buf, sizeof buf), -EPROTO, "row %zu", i);
        close(peer);
        cr_assert_eq(socks5_stream_send(stream, "words", 5), -EPIPE);
        close(own);
        cr_assert_eq(socks5_stream_shutdown(stream), -EBADF);
        cr_assert_eq(socks5_stream_recv_datagram(stream, own, buf, sizeof buf), -EBADF);
        socks5_stream_free(stream);
        stop_server(&s, fd, thread);
    }
    socks5_stream_free(NULL);
}

Test(gss_api, datagrams_that_do_not_fit_and_unsealed_ones)
{
    static struct server s;
    static uint8_t long_one[65535];
    for (int level = 0; level <= 2; level += 2) {
        pthread_t thread;
        int fd, pair[2];
        char buf[4];
        struct socks5_stream *stream;
        start_server(&s, &fd, &thread);
        struct socks5_session *session = make_session(fd, level);
        cr_assert_eq(socks5_stream_new(&stream, fd, session), 0);
        socks5_session_free(session);
        cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
        if (level)
            cr_assert_eq(socks5_stream_send_datagram(stream, pair[0], long_one, sizeof long_one),
                         -EMSGSIZE);
        cr_assert_eq(socks5_stream_send_datagram(stream, -1, "x", 1), -EBADF);
        cr_assert_eq(send(pair[1], "bare", 4, 0), 4);
        if (!level) {
            cr_assert_eq(socks5_stream_recv_datagram(stream, pair[0], buf, sizeof buf), 4);
            cr_assert_eq(memcmp(buf, "bare", 4), 0);
        }
        close(pair[0]), close(pair[1]);
        socks5_stream_free(stream);
        stop_server(&s, fd, thread);
    }
}

Test(gss_api, sessions_that_fail)
{
    struct socks5_options options = {.size = sizeof options, .command = SOCKS5_CONNECT,
                                     .host = "192.0.2.1", .port = 80};
    struct socks5_stream *stream;
    int ends[2];
    for (int how = 0; how < 4; how++) {
        struct socks5_session *session = socks5_session_new();
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        cr_assert_eq(socks5_session_run(session, ends[0], 100), -EINVAL, "not started");
        cr_assert_eq(socks5_session_start(session, &options), 0);
        int expected = how == 0 ? -ETIMEDOUT : how == 1 ? -ECONNREFUSED : how == 2 ? -EBADF : -EACCES;
        if (how == 1) /* the other side closes the connection; its end is read before or after */
            close(ends[1]);
        if (how == 3)
            cr_assert_eq(send(ends[1], "\5\377", 2, 0), 2);
        cr_assert_eq(socks5_session_run(session, how == 2 ? 999 : ends[0], how ? 20000 : 100), expected,
                     "%d", how);
        if (how == 3)
            cr_assert_eq(socks5_session_run(session, ends[0], 100), -EACCES, "it stays so");
        cr_assert_eq(socks5_stream_new(&stream, ends[0], session), -EINVAL);
        socks5_session_free(session);
        close(ends[0]);
        if (how != 1)
            close(ends[1]);
    }
}

Test(gss_api, arguments_and_faults)
{
    struct socks5_session *session = socks5_session_new();
    struct socks5_gssapi gssapi = {.size = sizeof gssapi, .host = HOST, .protection = 3};
    cr_assert_eq(socks5_session_gssapi(session, &gssapi), -EINVAL);
    gssapi.protection = 2;
    gssapi.host = "";
    cr_assert_eq(socks5_session_gssapi(session, &gssapi), -EINVAL);
    gssapi.host = HOST;
    gssapi.size--;
    cr_assert_eq(socks5_session_gssapi(session, &gssapi), -EINVAL);
    gssapi.size++;
    cr_assert_null(socks5_session_seal(session));
    cr_assert_str_eq(socks5_session_why(session), "");
    setenv("KRB5CCNAME", "FILE:/nonexistent/cache", 1);
    cr_assert_eq(socks5_session_gssapi(session, &gssapi), 0);
    struct socks5_options options = {.size = sizeof options, .command = SOCKS5_CONNECT,
                                     .host = "192.0.2.1", .port = 80};
    size_t n;
    cr_assert_eq(socks5_session_start(session, &options), 0);
    cr_assert_eq(memcmp(socks5_session_out(session, &n), "\5\2\1\0", 4), 0);
    socks5_session_sent(session, n);
    cr_assert_eq(socks5_session_feed(session, "\5\1", 2), -EACCES);
    cr_assert(strstr(socks5_session_why(session), "run kinit"));
    socks5_session_free(session);
}

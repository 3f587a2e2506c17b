/* The public interface, used through the shared library. The server is a thread that plays one script for each
 * connection. */
#include "socks5client.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct socks5_options make_options(const char *host, uint16_t port)
{
    struct socks5_options o;
    memset(&o, 0, sizeof o);
    o.size = sizeof o;
    o.command = SOCKS5_CONNECT;
    o.host = host;
    o.port = port;
    return o;
}

/* ---- Texts ---- */

Test(api, version_of_the_project)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", SOCKS5_VERSION_MAJOR, SOCKS5_VERSION_MINOR,
             SOCKS5_VERSION_PATCH);
    cr_assert_str_eq(socks5_version(), text);
    cr_assert_str_eq(socks5_version(), PROJECT_VERSION);
}

Test(api, replies)
{
    cr_assert_eq(socks5_reply_errno(0), 0);
    cr_assert_eq(socks5_reply_errno(3), -ENETUNREACH);
    cr_assert_eq(socks5_reply_errno(4), -EHOSTUNREACH);
    cr_assert_eq(socks5_reply_errno(5), -ECONNREFUSED);
    for (unsigned rep = 1; rep < 300; rep++) {
        cr_assert_lt(socks5_reply_errno(rep), 0);
        cr_assert(*socks5_reply_text(rep));
    }
    cr_assert_eq(socks5_reply_errno(256), -EPROTO, "256 is not 0");
    cr_assert_str_eq(socks5_reply_text(256), socks5_reply_text(255));
}

/* ---- The session ---- */

static void expect_out(struct socks5_session *s, const char *octets, size_t n)
{
    size_t len;
    const void *out = socks5_session_out(s, &len);
    cr_assert_eq(len, n, "%zu octets for %zu", len, n);
    cr_assert_arr_eq(out, octets, n);
    cr_assert_eq(socks5_session_sent(s, n + 1), -EINVAL);
    cr_assert_eq(socks5_session_sent(s, n), 0);
}

static void feed_octets(struct socks5_session *s, const char *octets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cr_assert_geq(socks5_session_need(s), 1);
        cr_assert_eq(socks5_session_feed(s, octets + i, 1), 0, "octet %zu", i);
    }
}

#define EXPECT_OUT(s, text) expect_out(s, text, sizeof text - 1)
#define FEED(s, text)       feed_octets(s, text, sizeof text - 1)

Test(api, idle_session)
{
    struct socks5_session *s = socks5_session_new();
    size_t len = 7;
    char host[4];
    uint16_t port = 9;
    cr_assert(socks5_session_out(s, &len) && len == 0);
    cr_assert_eq(socks5_session_state(s), SOCKS5_STATE_IDLE);
    cr_assert_eq(socks5_session_need(s), 0);
    cr_assert_eq(socks5_session_feed(s, "x", 1), -EINVAL);
    cr_assert_eq(socks5_session_sent(s, 1), -EINVAL);
    cr_assert_eq(socks5_session_eof(s), 0);
    cr_assert_eq(socks5_session_error(s), 0);
    cr_assert_eq(socks5_session_next_reply(s), -EINVAL);
    cr_assert_eq(socks5_session_bound(s, host, sizeof host, &port), -ENODATA);
    cr_assert_eq(port, 9);
    cr_assert(socks5_session_phase(s));
    socks5_session_free(s);
    socks5_session_free(NULL);
}

Test(api, session_step_by_step)
{
    struct socks5_session *s = socks5_session_new();
    struct socks5_options o = make_options("example.org", 443);
    static const uint8_t methods[] = {SOCKS5_METHOD_USERPASS, SOCKS5_METHOD_NONE};
    o.methods = methods;
    o.n_methods = 2;
    o.username = "u";
    o.password = "pw";
    cr_assert_eq(socks5_session_start(s, &o), 0);
    EXPECT_OUT(s, "\5\2\2\0");
    cr_assert_eq(socks5_session_state(s), SOCKS5_STATE_METHOD);
    FEED(s, "\5\2");
    cr_assert_eq(socks5_session_state(s), SOCKS5_STATE_AUTH);
    EXPECT_OUT(s, "\1\1u\2pw");
    FEED(s, "\1\0");
    EXPECT_OUT(s, "\5\1\0\3\13example.org\1\273");
    FEED(s, "\5\0\0\3\4gate\37\220");
    cr_assert_eq(socks5_session_state(s), SOCKS5_STATE_DONE);
    cr_assert_eq(socks5_session_need(s), 0, "what follows is the application's");
    char host[256];
    uint16_t port = 0;
    cr_assert_eq(socks5_session_bound(s, host, 4, &port), -ENOSPC);
    cr_assert_eq(socks5_session_bound(s, host, sizeof host, &port), 4);
    cr_assert_str_eq(host, "gate");
    cr_assert_eq(port, 8080);
    socks5_session_free(s);
}

Test(api, session_pipelined)
{
    struct socks5_session *s = socks5_session_new();
    struct socks5_options o = make_options("[2001:db8::7]", 80);
    o.username = "u";
    o.password = "p";
    o.pipeline = 1;
    cr_assert_eq(socks5_session_start(s, &o), 0);
    EXPECT_OUT(s, "\5\1\2"
                  "\1\1u\1p"
                  "\5\1\0\4\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\7\0\x50");
    FEED(s, "\5\2\1\0\5\5\0\1");
    cr_assert_eq(socks5_session_eof(s), -ECONNREFUSED);
    cr_assert_eq(socks5_session_state(s), SOCKS5_STATE_FAILED);
    cr_assert_eq(socks5_session_error(s), -ECONNREFUSED);
    socks5_session_free(s);
}

Test(api, session_bind)
{
    struct socks5_session *s = socks5_session_new();
    struct socks5_options o = make_options(NULL, 0);
    char host[64];
    uint16_t port;
    o.command = SOCKS5_BIND;
    cr_assert_eq(socks5_session_start(s, &o), 0);
    EXPECT_OUT(s, "\5\1\0");
    FEED(s, "\5\0");
    EXPECT_OUT(s, "\5\2\0\1\0\0\0\0\0\0");
    FEED(s, "\5\0\0\1\xc0\0\2\1\0\x15");
    cr_assert_eq(socks5_session_state(s), SOCKS5_STATE_BOUND);
    cr_assert_eq(socks5_session_bound(s, host, sizeof host, &port), 9);
    cr_assert_str_eq(host, "192.0.2.1");
    cr_assert_eq(port, 21);
    cr_assert_eq(socks5_session_next_reply(s), 0);
    cr_assert_eq(socks5_session_state(s), SOCKS5_STATE_REPLY2);
    FEED(s, "\5\0\0\4\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\4\0");
    cr_assert_eq(socks5_session_state(s), SOCKS5_STATE_DONE);
    cr_assert_gt(socks5_session_bound(s, host, sizeof host, &port), 0);
    cr_assert_str_eq(host, "2001:db8::1");
    socks5_session_free(s);
}

Test(api, impossible_options)
{
    struct socks5_session *s = socks5_session_new();
    static const uint8_t gssapi[] = {1}, none[] = {0};
    char name[258];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct socks5_options o[12];
    for (size_t i = 0; i < 12; i++)
        o[i] = make_options("host", 1);
    o[0].size--;
    o[1].command = 4;
    o[2].command = 0;
    o[3].host = NULL;
    o[4].host = "";
    o[5].host = name;
    o[6].username = "u";
    o[7].username = name, o[7].password = "p";
    o[8].username = "u", o[8].password = "";
    o[9].methods = gssapi, o[9].n_methods = 1;
    o[10].methods = none, o[10].n_methods = 0;
    o[11].methods = none, o[11].n_methods = SOCKS5_METHODS_MAX + 1;
    for (size_t i = 0; i < 12; i++) {
        cr_assert_eq(socks5_session_start(s, &o[i]), -EINVAL, "row %zu", i);
        cr_assert_eq(socks5_session_state(s), SOCKS5_STATE_IDLE);
    }
    socks5_session_free(s);
}

/* ---- The blocking connect ---- */

enum play_one {
    PLAY_END,
    PLAY_PIPELINED,  /* accepts everything at once, answers, then sends a banner */
    PLAY_STEPS,      /* accepts one message at a time; closes the connection on more */
    PLAY_MUTE_AHEAD, /* never answers pipelined octets, otherwise like STEPS */
    PLAY_REFUSED,    /* REP 5 */
    PLAY_BAD_AUTH,   /* RFC 1929 status 1 */
    PLAY_CLOSED,     /* closes the connection at once */
    PLAY_GARBAGE,    /* sends HTTP */
    PLAY_BIND,       /* both replies of BIND, the second after 0.3 s and followed by a banner */
    PLAY_BIND_FAILS, /* the first reply, then REP 4 */
};

struct server {
    int listener;
    const enum play_one *plays;
    int served;
    uint8_t request[64]; /* of the last connection that sent one */
    ssize_t request_len;
};

static bool receive_whole(int fd, size_t n, uint8_t *ret)
{
    return recv(fd, ret, n, MSG_WAITALL) == (ssize_t)n;
}

/* Reads the request and answers it with REP, followed by "hi" if it succeeds. */
static void request(struct server *sv, int fd, uint8_t rep)
{
    sv->request_len = recv(fd, sv->request, sizeof sv->request, 0);
    uint8_t reply[12] = {5, rep, 0, 1, 192, 0, 2, 1, 0, 80, 'h', 'i'};
    send(fd, reply, rep == 0 ? 12 : 10, MSG_NOSIGNAL);
}

static void play_steps(struct server *sv, int fd, bool mute)
{
    uint8_t in[512];
    ssize_t n = recv(fd, in, sizeof in, 0);
    if (n != 3) { /* more than the greeting arrived */
        if (mute)
            while (recv(fd, in, sizeof in, 0) > 0)
                ;
        else
            send(fd, "\5\xff", 2, MSG_NOSIGNAL);
        return;
    }
    send(fd, (uint8_t[]){5, in[2]}, 2, MSG_NOSIGNAL);
    if (in[2] == 2) {
        n = recv(fd, in, sizeof in, 0);
        send(fd, "\1", 2, MSG_NOSIGNAL);
    }
    request(sv, fd, 0);
}

static void play_one(struct server *sv, int fd, enum play_one what)
{
    uint8_t in[64];
    switch (what) {
    case PLAY_PIPELINED:
    case PLAY_REFUSED:
        if (receive_whole(fd, 3, in)) {
            send(fd, (uint8_t[]){5, in[2]}, 2, MSG_NOSIGNAL);
            request(sv, fd, what == PLAY_REFUSED ? 5 : 0);
        }
        break;
    case PLAY_STEPS:
    case PLAY_MUTE_AHEAD:
        play_steps(sv, fd, what == PLAY_MUTE_AHEAD);
        break;
    case PLAY_BAD_AUTH:
        if (receive_whole(fd, 3, in)) {
            send(fd, "\5\2", 2, MSG_NOSIGNAL);
            recv(fd, in, sizeof in, 0);
            send(fd, "\1\1", 2, MSG_NOSIGNAL);
        }
        break;
    case PLAY_BIND:
    case PLAY_BIND_FAILS:
        if (receive_whole(fd, 3, in)) {
            static const uint8_t first[] = {5, 0, 0, 1, 192, 0, 2, 1, 0, 80};
            static const uint8_t second[] = {5, 0, 0, 1, 192, 0, 2, 9, 1, 0, 'h', 'i'};
            sv->request_len = recv(fd, sv->request, sizeof sv->request, 0);
            send(fd, (uint8_t[]){5, in[2]}, 2, MSG_NOSIGNAL);
            send(fd, first, sizeof first, MSG_NOSIGNAL);
            usleep(300000);
            if (what == PLAY_BIND)
                send(fd, second, sizeof second, MSG_NOSIGNAL);
            else
                send(fd, "\5\4\0\1\0\0\0\0\0", 10, MSG_NOSIGNAL);
        }
        break;
    case PLAY_GARBAGE:
        receive_whole(fd, 3, in);
        send(fd, "HTTP/1.1 400\r\n", 14, MSG_NOSIGNAL);
        break;
    default:
        break;
    }
}

static void *run_server(void *user)
{
    struct server *sv = user;
    for (const enum play_one *at = sv->plays; *at != PLAY_END; at++) {
        int fd = accept(sv->listener, NULL, NULL);
        if (fd < 0)
            break;
        sv->served++;
        play_one(sv, fd, *at);
        shutdown(fd, SHUT_WR);
        uint8_t rest[64];
        while (recv(fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
            ;
        close(fd);
    }
    return NULL;
}

struct connect_result {
    int result, served;
    int64_t ms;
    char banner[3];
    struct server server;
};

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint16_t listen_on_loopback(int *ret)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    *ret = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(*ret, (struct sockaddr *)&in, sizeof in), 0);
    cr_assert_eq(listen(*ret, 8), 0);
    cr_assert_eq(getsockname(*ret, (struct sockaddr *)&in, &len), 0);
    return ntohs(in.sin_port);
}

/* Calls socks5_connect() with a server that plays PLAYS. FORMAT makes the URL of the server's port. */
static struct connect_result connect_through(const char *format, const enum play_one *plays, int timeout_ms)
{
    struct connect_result o = {.server = {.plays = plays}};
    char url[128];
    pthread_t thread;
    uint16_t port = listen_on_loopback(&o.server.listener);
    snprintf(url, sizeof url, format, port);
    cr_assert_eq(pthread_create(&thread, NULL, run_server, &o.server), 0);
    int64_t begin = now_ms();
    o.result = socks5_connect(url, "target.example", 80, timeout_ms);
    o.ms = now_ms() - begin;
    if (o.result >= 0) {
        cr_assert_eq(fcntl(o.result, F_GETFL) & O_NONBLOCK, 0);
        cr_assert_eq(fcntl(o.result, F_GETFD), FD_CLOEXEC);
        cr_assert_eq(recv(o.result, o.banner, 2, MSG_WAITALL), 2, "no octet was taken");
        close(o.result);
    }
    shutdown(o.server.listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(o.server.listener);
    o.served = o.server.served;
    return o;
}

#define PLAYS(...) ((const enum play_one[]){__VA_ARGS__, PLAY_END})

Test(connect, pipelined)
{
    struct connect_result o = connect_through("socks5h://127.0.0.1:%u", PLAYS(PLAY_PIPELINED), 5000);
    cr_assert_geq(o.result, 0, "%d", o.result);
    cr_assert_str_eq(o.banner, "hi");
    cr_assert_eq(o.served, 1);
    cr_assert_eq(o.server.request_len, 4 + 1 + 14 + 2);
    cr_assert_arr_eq(o.server.request, "\5\1\0\3\16target.example\0\x50", 21);
}

Test(connect, step_by_step_after_a_pipelined_attempt)
{
    struct connect_result o = connect_through("socks5h://u:p%%40w@127.0.0.1:%u",
                                              PLAYS(PLAY_STEPS, PLAY_STEPS), 5000);
    cr_assert_geq(o.result, 0, "%d", o.result);
    cr_assert_eq(o.served, 2);
}

/* What is remembered of a server lasts for the life of the process and saves the pipelined attempt. */
Test(connect, step_by_step_the_second_time)
{
    struct server sv = {.plays = PLAYS(PLAY_STEPS, PLAY_STEPS, PLAY_STEPS)};
    char url[64];
    pthread_t thread;
    snprintf(url, sizeof url, "socks5h://127.0.0.1:%u", listen_on_loopback(&sv.listener));
    cr_assert_eq(pthread_create(&thread, NULL, run_server, &sv), 0);
    for (int i = 0; i < 2; i++) {
        int fd = socks5_connect(url, "target.example", 80, 5000);
        cr_assert_geq(fd, 0, "%d", fd);
        close(fd);
    }
    pthread_join(thread, NULL);
    close(sv.listener);
    cr_assert_eq(sv.served, 3);
}

Test(connect, step_by_step_after_silence, .timeout = 20)
{
    struct connect_result o = connect_through("socks5h://127.0.0.1:%u",
                                              PLAYS(PLAY_MUTE_AHEAD, PLAY_MUTE_AHEAD), 8000);
    cr_assert_geq(o.result, 0, "%d", o.result);
    cr_assert_geq(o.ms, 900, "%lld ms", (long long)o.ms);
}

Test(connect, a_reply_is_final)
{
    struct connect_result o = connect_through("socks5h://127.0.0.1:%u", PLAYS(PLAY_REFUSED), 5000);
    cr_assert_eq(o.result, -ECONNREFUSED, "%d", o.result);
    cr_assert_eq(o.served, 1);
}

Test(connect, failures)
{
    struct connect_result o = connect_through("socks5h://u:p@127.0.0.1:%u",
                                              PLAYS(PLAY_BAD_AUTH, PLAY_BAD_AUTH), 5000);
    cr_assert_eq(o.result, -EACCES, "%d", o.result);
    o = connect_through("socks5h://127.0.0.1:%u", PLAYS(PLAY_GARBAGE, PLAY_GARBAGE), 5000);
    cr_assert_eq(o.result, -EPROTO, "%d", o.result);
    o = connect_through("socks5h://127.0.0.1:%u", PLAYS(PLAY_CLOSED, PLAY_CLOSED), 5000);
    cr_assert_lt(o.result, 0);
}

Test(connect, deadline, .timeout = 20)
{
    int listener;
    char url[64];
    snprintf(url, sizeof url, "socks5h://127.0.0.1:%u", listen_on_loopback(&listener));
    int64_t begin = now_ms();
    cr_assert_eq(socks5_connect(url, "target.example", 80, 300), -ETIMEDOUT);
    int64_t took = now_ms() - begin;
    cr_assert(took >= 290 && took < 2000, "%lld ms", (long long)took);
    close(listener);
    cr_assert_eq(socks5_connect(url, "target.example", 80, 300), -ECONNREFUSED);
}

Test(connect, impossible_arguments)
{
    cr_assert_eq(socks5_connect("http://127.0.0.1:1", "host", 80, 100), -EINVAL);
    cr_assert_eq(socks5_connect("socks5h://127.0.0.1:1", "", 80, 100), -EINVAL);
    cr_assert_eq(socks5_connect("socks5h://127.0.0.1:1", "host", 0, 100), -EINVAL);
    cr_assert_eq(socks5_connect("socks5h://127.0.0.1:99999", "host", 80, 100), -EINVAL);
}

/* ---- The blocking BIND ---- */

struct stage {
    struct server server;
    pthread_t thread;
    char url[64];
};

static void start_stage(struct stage *st, const enum play_one *plays)
{
    st->server = (struct server){.plays = plays};
    snprintf(st->url, sizeof st->url, "socks5h://127.0.0.1:%u",
             listen_on_loopback(&st->server.listener));
    cr_assert_eq(pthread_create(&st->thread, NULL, run_server, &st->server), 0);
}

static void stop_stage(struct stage *st)
{
    shutdown(st->server.listener, SHUT_RDWR);
    pthread_join(st->thread, NULL);
    close(st->server.listener);
}

Test(listen, both_replies_and_the_data_after_them, .timeout = 20)
{
    struct stage st;
    struct socks5_listener *l = NULL;
    char host[256], banner[2];
    uint16_t port = 0;
    start_stage(&st, PLAYS(PLAY_BIND));
    cr_assert_eq(socks5_listen(st.url, "192.0.2.9", 0, 5000, &l), 0);
    cr_assert_eq(socks5_listener_name(l, host, sizeof host, &port), 9);
    cr_assert(strcmp(host, "192.0.2.1") == 0 && port == 80);
    cr_assert_eq(socks5_accept(l, 0, host, sizeof host, &port), -ETIMEDOUT, "nobody came yet");
    struct pollfd p = {.fd = socks5_listener_fd(l), .events = POLLIN};
    cr_assert_eq(poll(&p, 1, 5000), 1);
    int fd = socks5_accept(l, 5000, host, sizeof host, &port);
    cr_assert_eq(fd, p.fd);
    cr_assert(strcmp(host, "192.0.2.9") == 0 && port == 256);
    cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    cr_assert_eq(recv(fd, banner, 2, MSG_WAITALL), 2);
    cr_assert(banner[0] == 'h' && banner[1] == 'i');
    cr_assert_eq(socks5_accept(l, 0, NULL, 0, NULL), -EINVAL, "used up");
    cr_assert_eq(socks5_listener_fd(l), -EINVAL);
    socks5_listener_free(l);
    cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC, "it is the caller's");
    close(fd);
    stop_stage(&st);
    cr_assert_eq(st.server.request_len, 10);
    cr_assert_eq(memcmp(st.server.request, "\5\2\0\1\300\0\2\11\0", 10), 0);
}

Test(listen, replies_that_fail, .timeout = 20)
{
    struct stage st;
    struct socks5_listener *l = NULL;
    start_stage(&st, PLAYS(PLAY_REFUSED, PLAY_BIND_FAILS));
    cr_assert_eq(socks5_listen(st.url, NULL, 0, 5000, &l), -ECONNREFUSED);
    cr_assert_null(l);
    cr_assert_eq(socks5_listen(st.url, NULL, 0, 5000, &l), 0);
    cr_assert_eq(socks5_accept(l, 5000, NULL, 0, NULL), -EHOSTUNREACH);
    cr_assert_eq(socks5_accept(l, 5000, NULL, 0, NULL), -EHOSTUNREACH, "and so it stays");
    socks5_listener_free(l);
    socks5_listener_free(NULL);
    stop_stage(&st);
    cr_assert_eq(socks5_listen("http://x", NULL, 0, 100, &l), -EINVAL);
    cr_assert_eq(socks5_listen(st.url, "", 0, 100, &l), -EINVAL);
}

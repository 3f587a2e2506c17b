/* Fetches a page with libevent: event SERVER-ADDRESS SERVER-PORT HOST PORT PATH
 *
 * A bufferevent first carries the negotiation, with the callback on_reply(). When the session is done, on_page()
 * replaces that callback and the bufferevent carries the application's data. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <socks5client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fetch {
    struct event_base *base;
    struct socks5_session *session;
    const char *host, *path;
    int failed;
};

static void end_fetch(struct fetch *f, const char *why)
{
    if (why)
        fprintf(stderr, "event: %s\n", why);
    f->failed = why != NULL;
    event_base_loopexit(f->base, NULL);
}

static void on_page(struct bufferevent *bev, void *user)
{
    (void)user;
    struct evbuffer *in = bufferevent_get_input(bev);
    fwrite(evbuffer_pullup(in, -1), 1, evbuffer_get_length(in), stdout);
    evbuffer_drain(in, evbuffer_get_length(in));
}

static void on_end(struct bufferevent *bev, short what, void *user)
{
    (void)bev;
    if (what & BEV_EVENT_EOF)
        end_fetch(user, NULL);
    else if (!(what & BEV_EVENT_CONNECTED))
        end_fetch(user, what & BEV_EVENT_TIMEOUT ? "too late" : "the connection broke");
}

static void send_output(struct bufferevent *bev, struct socks5_session *s)
{
    size_t len;
    const void *out;
    while (out = socks5_session_out(s, &len), len > 0) {
        bufferevent_write(bev, out, len);
        socks5_session_sent(s, len);
    }
}

static void on_reply(struct bufferevent *bev, void *user)
{
    struct fetch *f = user;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t need;
    while ((need = socks5_session_need(f->session)) > 0 && evbuffer_get_length(in) > 0) {
        size_t n = evbuffer_get_length(in) < need ? evbuffer_get_length(in) : need;
        int result = socks5_session_feed(f->session, evbuffer_pullup(in, (ev_ssize_t)n), n);
        evbuffer_drain(in, n);
        if (result < 0) {
            end_fetch(f, strerror(-result));
            return;
        }
        send_output(bev, f->session);
    }
    if (socks5_session_state(f->session) != SOCKS5_STATE_DONE)
        return;
    bufferevent_setcb(bev, on_page, NULL, on_end, f); /* the negotiation is done */
    evbuffer_add_printf(bufferevent_get_output(bev), "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", f->path,
                        f->host);
    if (evbuffer_get_length(in) > 0)
        on_page(bev, f);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    struct fetch f = {event_base_new(), socks5_session_new(), argv[3], argv[5], 0};
    struct socks5_options options = {.size = sizeof options,
                                     .command = SOCKS5_CONNECT,
                                     .host = argv[3],
                                     .port = (uint16_t)atoi(argv[4])};
    struct timeval limit = {10, 0};
    struct bufferevent *bev = bufferevent_socket_new(f.base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!f.session || socks5_session_start(f.session, &options) < 0)
        return 2;
    bufferevent_setcb(bev, on_reply, NULL, on_end, &f);
    bufferevent_set_timeouts(bev, &limit, &limit);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    send_output(bev, f.session); /* sent when the connection is established */
    bufferevent_socket_connect_hostname(bev, NULL, AF_INET, argv[1], atoi(argv[2]));
    event_base_dispatch(f.base);
    bufferevent_free(bev);
    socks5_session_free(f.session);
    event_base_free(f.base);
    return f.failed;
}

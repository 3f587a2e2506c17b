/* BIND with blocking functions: socks5_listen() waits for the first reply, socks5_accept() for the second. Between the
 * replies the connection to the server is idle, and its descriptor may be polled together with others. */
#include "client.h"
#include "dial.h"
#include "export.h"
#include "socks5client.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct socks5_listener {
    struct s5_gss_link link; /* after the first reply */
    struct s5_addr name;     /* the address in the first reply */
    int fd;                  /* connection to the server; -1 after socks5_accept(), when the caller owns it */
};

S5_EXPORT int socks5_listen(const char *url, const char *host, uint16_t port, int timeout_ms,
                            struct socks5_listener **ret)
{
    struct socks5_listener *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->fd = s5_dial(url, S5_BIND, host, port, timeout_ms, &l->link);
    if (l->fd < 0) {
        int result = l->fd;
        socks5_listener_free(l);
        return result;
    }
    l->name = *s5_session_bound(&l->link.session);
    s5_gss_link_next_reply(&l->link);
    *ret = l;
    return 0;
}

S5_EXPORT int socks5_listener_name(const struct socks5_listener *listener, char *host, size_t size, uint16_t *ret_port)
{
    return s5_dial_text(&listener->name, host, size, ret_port);
}

S5_EXPORT int socks5_listener_fd(const struct socks5_listener *listener)
{
    return listener->fd < 0 ? -EINVAL : listener->fd;
}

S5_EXPORT int socks5_accept(struct socks5_listener *listener, int timeout_ms, char *host, size_t size,
                            uint16_t *ret_port)
{
    if (listener->fd < 0)
        return -EINVAL;
    struct s5_client c = {.link = &listener->link, .fd = listener->fd};
    int result = s5_client_run(&c, s5_dial_until(timeout_ms));
    if (result == 0 && host)
        result = s5_dial_text(s5_session_bound(&listener->link.session), host, size, ret_port);
    if (result >= 0)
        result = s5_dial_block(listener->fd);
    if (result < 0)
        return result;
    result = listener->fd;
    listener->fd = -1;
    return result;
}

S5_EXPORT void socks5_listener_free(struct socks5_listener *listener)
{
    if (!listener)
        return;
    if (listener->fd >= 0)
        close(listener->fd);
    s5_session_wipe(&listener->link.session);
    free(listener);
}

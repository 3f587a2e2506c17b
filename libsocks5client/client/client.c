/* Sockets and negotiations of one thread or event loop. A connection is made by a non-blocking connect(), after which
 * the caller waits for POLLOUT. s5_client_step() writes and reads until the negotiation has ended or the socket is not
 * ready; the blocking functions repeat it with ppoll() in between. */
#include "client.h"
#include "clock.h"
#include "exchange.h"
#include "format.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

int s5_client_await(int fd, short events, uint64_t until)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        struct timespec left;
        uint64_t now = s5_clock_now();
        int n = ppoll(&p, 1, s5_clock_left(until, now, &left), NULL);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0 && s5_clock_now() >= until)
            return -ETIMEDOUT;
    }
}

/* --- the connection --- */

static int make_path_address(const char *path, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct sockaddr_un *un = (struct sockaddr_un *)ret;
    if (strlen(path) >= sizeof un->sun_path)
        return -ENAMETOOLONG;
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    *ret_len = sizeof *un;
    return 0;
}

int s5_client_address(const struct s5_policy *p, const struct s5_server *server, unsigned index,
                      struct sockaddr_storage *ret, socklen_t *ret_len)
{
    if (index >= (server->is_path ? 1u : server->n_addrs))
        return -ENOENT;
    if (server->is_path)
        return make_path_address(s5_policy_text(p, server->host), ret, ret_len);
    const struct s5_ip *ip = &server->addrs[index];
    struct s5_addr addr = {.kind = ip->kind, .port = server->port};
    memcpy(addr.octets, ip->octets, sizeof ip->octets);
    return s5_addr_to_sockaddr(&addr, ip->kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6, ret, ret_len);
}

int s5_client_dial(const struct sockaddr_storage *addr, socklen_t len, int *ret_fd)
{
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r = fd < 0 || connect(fd, (const struct sockaddr *)addr, len) < 0 ? -errno : 0;
    if (r == -EINTR)
        r = -EINPROGRESS;
    if (r == 0 || r == -EINPROGRESS)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    return r;
}

int s5_client_dialled(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? -errno : -error;
}

int s5_client_reach(const struct sockaddr_storage *addr, socklen_t len, uint64_t until)
{
    int fd = -1, r = s5_client_dial(addr, len, &fd);
    if (r < 0 && r != -EINPROGRESS)
        return r;
    if (r == -EINPROGRESS)
        r = s5_client_await(fd, POLLOUT, until);
    if (r == 0)
        r = s5_client_dialled(fd);
    if (r < 0)
        close(fd);
    return r < 0 ? r : fd;
}

/* Stores in RET the address of FD's peer. The peer of a UNIX socket is on this machine: it gets a loopback address,
 * IPv6 if V6. Returns 0 or -errno. */
static int get_peer_address(int fd, bool v6, struct s5_addr *ret)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
        return -errno;
    if (peer.ss_family != AF_UNIX)
        return s5_addr_from_sockaddr(ret, (struct sockaddr *)&peer, len);
    *ret = (struct s5_addr){.kind = v6 ? S5_ADDR_IPV6 : S5_ADDR_IPV4};
    s5_addr_become_loopback(ret);
    return 0;
}

int s5_client_relay(const struct s5_policy *p, const struct s5_server *server, int fd, const struct s5_addr *bound,
                    int family, struct sockaddr_storage *ret, socklen_t *ret_len, char why[S5_UDP_RELAY_WHY])
{
    struct s5_addr here, relay = *bound;
    bool v6 = family == AF_INET6 || (family == AF_UNSPEC && bound->kind == S5_ADDR_IPV6);
    int r = get_peer_address(fd, v6, &here);
    s5_format(why, S5_UDP_RELAY_WHY, "the socket cannot reach it");
    if (r == 0)
        r = s5_udp_relay_choose(p, server, &here, &relay, why);
    if (family == AF_UNSPEC)
        family = relay.kind == S5_ADDR_IPV6 ? AF_INET6 : AF_INET;
    return r < 0 ? r : s5_addr_to_sockaddr(&relay, family, ret, ret_len);
}

/* --- the negotiation --- */

static struct s5_exchange make_exchange(const struct s5_client *c)
{
    return (struct s5_exchange){&c->link->session, c->link, c->fd, 0, send, recv};
}

/* Writes all pending octets. Returns 0, or an error as s5_exchange_write() does. */
static int write_pending(struct s5_client *c, const struct s5_exchange *step)
{
    size_t left;
    bool all;
    while (s5_exchange_out(step, &left), left) { /* more may follow what was sent */
        ssize_t n = s5_exchange_write(step, &all);
        if (n < 0)
            return (int)n;
        c->sent = s5_clock_now();
    }
    return 0;
}

static void keep_head(struct s5_client *c, const uint8_t *in, size_t n)
{
    size_t space = c->head ? c->head_size - c->n_head : 0;
    n = n < space ? n : space;
    if (n)
        memcpy(c->head + c->n_head, in, n);
    c->n_head += n;
}

/* Reads once. Returns 0, -EAGAIN, or the error of the negotiation. */
static int read_once(struct s5_client *c, const struct s5_exchange *step)
{
    uint8_t in[4096];
    size_t n;
    int r = s5_exchange_read(step, in, sizeof in, &n);
    if (n) {
        c->came = s5_clock_now();
        keep_head(c, in, n);
    } else if (r != -EAGAIN) {
        c->closed = true;
    }
    return r;
}

static bool is_over(const struct s5_client *c)
{
    size_t left;
    enum s5_session_state state = s5_gss_link_state(c->link);
    s5_gss_link_out(c->link, &left);
    return (state == S5_SESSION_DONE || state == S5_SESSION_BOUND) && !left;
}

int s5_client_step(struct s5_client *c)
{
    const struct s5_exchange step = make_exchange(c);
    while (!is_over(c)) {
        int error = s5_gss_link_error(c->link), r = error ? error : write_pending(c, &step);
        bool broken = r == -EPIPE;
        c->poll_events = r == -EAGAIN ? POLLOUT : POLLIN;
        if (r == 0 || broken)
            r = read_once(c, &step);
        if (broken && r == -EAGAIN) { /* nothing more will arrive, and nothing can be sent */
            c->closed = true;
            r = s5_exchange_end(&step, 0);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

int s5_client_run(struct s5_client *c, uint64_t until)
{
    int r;
    while ((r = s5_client_step(c)) == -EAGAIN) {
        r = s5_client_await(c->fd, c->poll_events, until);
        if (r < 0)
            break;
    }
    return r;
}

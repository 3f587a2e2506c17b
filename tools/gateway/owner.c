/* Theory of operation: the kernel tells the inode of a socket (sock_diag), and a process that has it as a descriptor is
 * its owner. Finding it means a look at the descriptors of all processes of the namespace, so it is done only if the
 * server is isolated by process, or if each connection has a log line. */
#include "owner.h"
#include "caller.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif
#define REMEMBERED 4096 /* a power of two */

static int diag = -1;
static struct s5_engine *engine;
static const struct s5_policy *known; /* NEEDED is for this policy */
static bool needed;
static uint64_t network; /* the number of the namespace, see caller_network() */
static __thread const struct owner *acting_for;

static struct remembered {
    uint64_t cookie;
    const struct owner *owner;
    struct remembered *next;
} * remembered[REMEMBERED];

/* ---- The engine's questions ---- */

static struct s5_log_caller find_caller(void)
{
    const struct owner *o = acting_for;
    if (!o || !o->pid)
        return (struct s5_log_caller){(int32_t)getpid(), "socks5-gateway"};
    return (struct s5_log_caller){o->pid, o->program};
}

static uint64_t get_process(void)
{
    return acting_for ? acting_for->process : 0;
}

static struct remembered **find_place(uint64_t cookie)
{
    return &remembered[cookie % REMEMBERED];
}

static void negotiation_completes(uint64_t cookie)
{
    acting_for = NULL;
    for (struct remembered *r = *find_place(cookie); r; r = r->next)
        if (r->cookie == cookie)
            acting_for = r->owner;
}

const struct s5_engine_others owner_others = {get_process, negotiation_completes};

static bool is_isolated_by_process(const struct s5_policy *p)
{
    bool isolated = false;
    for (unsigned i = 0; p && i < p->n_servers; i++)
        isolated = isolated || p->servers[i].isolate & S5_ISOLATE_PROCESS;
    return isolated;
}

/* Returns true if owners have to be found, by the policy in force. */
static bool is_needed(void)
{
    const struct s5_policy *p = s5_engine_load(engine);
    if (p != known)
        needed = engine->log.level >= S5_LOG_INFO || engine->log.json || is_isolated_by_process(p);
    known = p;
    return needed;
}

void owner_begin(struct s5_engine *e, struct handover *h)
{
    engine = e;
    needed = e->log.level >= S5_LOG_INFO || e->log.json;
    diag = h->fds[HANDOVER_OWNERS];
    h->fds[HANDOVER_OWNERS] = -1;
    e->log.find_caller = find_caller;
    caller_network(h->pid, &network);
}

void owner_act_for(const struct owner *owner)
{
    acting_for = owner;
}

void owner_remember(int fd, const struct owner *owner, uint64_t *ret_cookie)
{
    socklen_t len = sizeof(*ret_cookie);
    *ret_cookie = 0;
    struct remembered *r = owner->pid ? malloc(sizeof(*r)) : NULL;
    if (!r || getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret_cookie, &len) < 0) {
        free(r);
        return;
    }
    *r = (struct remembered){*ret_cookie, owner, *find_place(*ret_cookie)};
    *find_place(*ret_cookie) = r;
}

void owner_forget(uint64_t cookie)
{
    for (struct remembered **at = cookie ? find_place(cookie) : NULL; at && *at; at = &(*at)->next)
        if ((*at)->cookie == cookie) {
            struct remembered *r = *at;
            *at = r->next;
            if (acting_for == r->owner)
                acting_for = NULL;
            free(r);
            return;
        }
}

/* ---- Finding an owner ---- */

static void set_address(__be32 ret[4], const struct s5_endpoint *at)
{
    if (at->any.sa_family == AF_INET)
        memcpy(ret, &at->v4.sin_addr, 4);
    else
        memcpy(ret, &at->v6.sin6_addr, 16);
}

static int take_inode(const struct nlmsghdr *m, void *user)
{
    const struct inet_diag_msg *d = mnl_nlmsg_get_payload(m);
    if (mnl_nlmsg_get_payload_len(m) >= sizeof(*d))
        *(uint32_t *)user = d->idiag_inode;
    return MNL_CB_STOP;
}

/* Returns the inode of the socket, or 0. The kernel answers within send(). */
static uint32_t find_inode(int protocol, const struct s5_endpoint *from, const struct s5_endpoint *to)
{
    char buf[1024];
    uint32_t inode = 0;
    struct nlmsghdr *m = mnl_nlmsg_put_header(buf);
    m->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    m->nlmsg_flags = NLM_F_REQUEST;
    struct inet_diag_req_v2 *q = mnl_nlmsg_put_extra_header(m, sizeof(*q));
    q->sdiag_family = (uint8_t)from->any.sa_family;
    q->sdiag_protocol = (uint8_t)protocol;
    q->idiag_states = ~0U;
    q->id.idiag_cookie[0] = q->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    /* The kernel takes the ends of a UDP socket the other way round, as of a packet that it would receive. */
    const struct s5_endpoint *source = protocol == IPPROTO_UDP ? to : from, *other = source == to ? from : to;
    q->id.idiag_sport = source->v4.sin_port;
    set_address(q->id.idiag_src, source);
    q->id.idiag_dport = other->v4.sin_port;
    set_address(q->id.idiag_dst, other);
    if (send(diag, m, m->nlmsg_len, MSG_NOSIGNAL) < 0)
        return 0;
    ssize_t n = recv(diag, buf, sizeof(buf), MSG_DONTWAIT);
    if (n > 0)
        mnl_cb_run(buf, (size_t)n, 0, 0, take_inode, &inode);
    return inode;
}

int owner_list_ports(struct ports *ret, int protocol)
{
    return ports_list(diag, protocol, ret);
}

void owner_find(struct owner *ret, int protocol, const struct s5_endpoint *from, const struct s5_endpoint *to)
{
    memset(ret, 0, sizeof(*ret));
    uint32_t inode = is_needed() && diag >= 0 ? find_inode(protocol, from, to) : 0;
    ret->pid = inode ? (int32_t)caller_find_owner(network, inode, &ret->process) : 0;
    if (ret->pid)
        caller_program(ret->pid, ret->program);
}

/* Theory of operation: each request is served by a child, because a look-up takes as long as the resolver's time-outs,
 * and what it loads and allocates goes with the child. */
#include "serve.h"
#include "addr.h"
#include "bridge.h"
#include "caller.h"
#include "close_descriptors.h"
#include "companion_request.h"
#include "namespaces.h"
#include "tree_log.h"
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVE_SECONDS 120 /* after that the child ends: no resolver takes as long */

static void send_reply(int channel, const void *reply, size_t size)
{
    (void)!send(channel, reply, size, MSG_NOSIGNAL);
}

/* Returns DATA as a string; NULL if it is none. */
static const char *get_text(const struct s5_companion_request *q)
{
    return q->size > 0 && strnlen(q->data, q->size) == q->size - 1 ? q->data : NULL;
}

static void store_address(struct s5_companion_addresses *a, const struct addrinfo *ai)
{
    struct s5_addr addr;
    if (a->n == S5_COMPANION_LIST || s5_addr_from_sockaddr(&addr, ai->ai_addr, ai->ai_addrlen) < 0)
        return;
    uint32_t scope = ai->ai_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)ai->ai_addr)->sin6_scope_id : 0;
    a->list[a->n].kind = addr.kind;
    memcpy(a->list[a->n].octets, addr.octets, sizeof(a->list[a->n].octets));
    a->list[a->n++].scope = scope;
}

static void look_up_addresses(int channel, const struct s5_companion_request *q)
{
    static struct s5_companion_addresses reply;
    const int flags = AI_ADDRCONFIG | AI_V4MAPPED | AI_ALL | AI_CANONNAME;
    struct addrinfo hints = {.ai_family = q->family, .ai_flags = q->flags & flags, .ai_socktype = SOCK_STREAM},
                    *list = NULL;
    const char *name = get_text(q);
    reply.result = name ? getaddrinfo(name, NULL, &hints, &list) : EAI_NONAME;
    reply.error = reply.result == EAI_SYSTEM ? errno : 0;
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
        store_address(&reply, ai);
    if (list && list->ai_canonname)
        snprintf(reply.canonical, sizeof(reply.canonical), "%s", list->ai_canonname);
    if (reply.result == 0 && reply.n == 0)
        reply.result = EAI_NODATA;
    send_reply(channel, &reply, sizeof(reply));
}

static void look_up_name(int channel, const struct s5_companion_request *q)
{
    static struct s5_companion_name reply;
    struct sockaddr_storage at;
    struct s5_addr addr;
    socklen_t len;
    reply.result = EAI_FAMILY;
    if ((q->family == AF_INET && q->size == 4) || (q->family == AF_INET6 && q->size == 16)) {
        s5_addr_from_octets(&addr, (const uint8_t *)q->data, q->size, 0);
        if (s5_addr_to_sockaddr(&addr, q->family, &at, &len) == 0)
            reply.result = getnameinfo((struct sockaddr *)&at, len, reply.name, sizeof(reply.name), NULL, 0,
                                       q->flags | NI_NAMEREQD);
    }
    send_reply(channel, &reply, sizeof(reply));
}

static void send_message(int channel, const struct s5_companion_request *q)
{
    static unsigned char answer[65535];
    static struct __res_state state;
    if (res_ninit(&state) != 0)
        return;
    int n = res_nsend(&state, (const unsigned char *)q->data, (int)q->size, answer, sizeof(answer));
    if (n > 0)
        send_reply(channel, answer, (size_t)n);
}

static void start_bridge(int channel, pid_t task, const struct serve_bridge *b)
{
    struct s5_bridge_start how = {b->shm, b->shm_fd, b->path, environ, tree_log_stderr(task), 0};
    struct s5_companion_bridge reply = {.pid = s5_bridge_spawn(&how, caller_process(task))};
    send_reply(channel, &reply, sizeof(reply));
}

/* The gateway is of the user whose namespace it serves. Only root's companion has another one. */
static bool become_user(pid_t task)
{
    uid_t uid;
    gid_t gid;
    if (!caller_ids(task, &uid, &gid))
        return false;
    if (uid == geteuid())
        return true;
    return setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0;
}

/* Becomes the gateway on CHANNEL, in a session of its own and with no other descriptor. */
static void run_gateway(int channel, pid_t task, const struct serve_bridge *b)
{
    if (!become_user(task))
        return;
    dup2(channel, S5_NAMESPACES_CHANNEL);
    s5_close_descriptors(S5_NAMESPACES_CHANNEL + 1, ~0U);
    alarm(0);
    setsid();
    unsetenv("LD_PRELOAD");
    execl(b->gateway_path, b->gateway_path, (char *)NULL);
}

_Noreturn void serve_request(int channel, pid_t task, const struct serve_bridge *bridge)
{
    static struct s5_companion_request q;
    ssize_t n = recv(channel, &q, sizeof(q), 0);
    alarm(SERVE_SECONDS);
    if (n < (ssize_t)offsetof(struct s5_companion_request, data) || q.size > sizeof(q.data) ||
        (size_t)n != offsetof(struct s5_companion_request, data) + q.size)
        _exit(0);
    switch ((enum s5_companion_service)q.service) {
    case S5_COMPANION_ADDRESSES:
        look_up_addresses(channel, &q);
        break;
    case S5_COMPANION_NAME:
        look_up_name(channel, &q);
        break;
    case S5_COMPANION_MESSAGE:
        send_message(channel, &q);
        break;
    case S5_COMPANION_BRIDGE:
        start_bridge(channel, task, bridge);
        break;
    case S5_COMPANION_GATEWAY:
        run_gateway(channel, task, bridge);
        break;
    case S5_COMPANION_SERVICES:
        break;
    }
    _exit(0);
}

/* Theory of operation: each command has a mount namespace of its own with a tmpfs in it. The kernel unmounts the tmpfs
 * when the last process has left that namespace, and inotify reports it: to this process, which is outside. Daemons and
 * programs that close every descriptor are counted, too, and no process ID is needed.
 *
 * A launcher asks for the namespaces, joins them, and sends its marker. It is counted from its question on. */
#include "tree.h"
#include "begin.h"
#include "commands_log.h"
#include "loop.h"
#include "namespaces.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

static struct watch listener = {.fd = -1}, markers = {.fd = -1};
static unsigned n_markers, n_launchers;
static struct handover kept; /* the namespaces */
static struct sockaddr_un address;
static unsigned address_len;

struct launcher {
    struct watch watch;
};

/* ---- Markers ---- */

static int add_marker(int fd)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (inotify_add_watch(markers.fd, path, IN_DELETE_SELF | IN_ONLYDIR) < 0)
        return -errno;
    n_markers++;
    return 0;
}

static void read_markers(struct watch *w, uint32_t ready)
{
    union {
        struct inotify_event event;
        char octets[4096];
    } buf;
    ssize_t n = read(w->fd, &buf, sizeof(buf));
    (void)ready;
    for (ssize_t at = 0; at + (ssize_t)sizeof(buf.event) <= n;) {
        const struct inotify_event *event = (void *)(buf.octets + at);
        if (event->mask & IN_IGNORED && n_markers > 0)
            n_markers--;
        at += (ssize_t)(sizeof(*event) + event->len);
    }
}

/* ---- Launchers ---- */

static void end_launcher(struct launcher *l)
{
    loop_close(&l->watch);
    n_launchers--;
    loop_dispose(l);
}

static void answer_launcher(struct launcher *l)
{
    struct handover h, reply;
    if (handover_receive(l->watch.fd, &h) < 0) {
        end_launcher(l);
        return;
    }
    handover_clear(&reply, HANDOVER_REPLY);
    if (h.kind == HANDOVER_JOIN) {
        reply.fds[HANDOVER_NETNS] = kept.fds[HANDOVER_NETNS];
        reply.fds[HANDOVER_USERNS] = kept.fds[HANDOVER_USERNS];
        reply.cookie = kept.cookie;
    } else if (h.kind == HANDOVER_MARKER && h.fds[HANDOVER_MARKER_FD] >= 0) {
        reply.error = add_marker(h.fds[HANDOVER_MARKER_FD]);
        commands_log_add(&h);
    } else
        reply.error = -EPROTO;
    handover_close(&h);
    handover_send(l->watch.fd, &reply);
}

/* A launcher that was killed may have left a question: its end comes after that. */
static void launcher_ready(struct watch *w, uint32_t ready)
{
    struct launcher *l = (struct launcher *)((char *)w - offsetof(struct launcher, watch));
    if (ready & EPOLLIN)
        answer_launcher(l);
    else
        end_launcher(l);
}

static void accept_launcher(struct watch *w, uint32_t ready)
{
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct launcher *l = fd < 0 || !handover_is_own_user(fd) ? NULL : calloc(1, sizeof(*l));
    (void)ready;
    if (!l) {
        if (fd >= 0)
            close(fd);
        return;
    }
    n_launchers++;
    l->watch = (struct watch){.fd = fd, .lasting = true, .ready = launcher_ready};
    if (loop_set_events(&l->watch, EPOLLIN) < 0)
        end_launcher(l);
}

/* Where another gateway of the tree has the address, this one serves its first command alone. */
static void listen_for_launchers(void)
{
    struct s5_shm *shm = atomic_load(&s5_begin()->shm);
    uint64_t id[2];
    if (!shm || !s5_namespaces_id(&shm->namespaces, id))
        return;
    address_len = handover_address(&address, id, geteuid());
    listener.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    listener.ready = accept_launcher;
    if (listener.fd < 0 || bind(listener.fd, (struct sockaddr *)&address, address_len) < 0 ||
        listen(listener.fd, BACKLOG) < 0 || loop_set_events(&listener, EPOLLIN) < 0)
        loop_close(&listener);
}

/* ---- All ---- */

int tree_receive(int channel, struct handover *ret)
{
    int result = handover_receive(channel, ret);
    if (result == 0 && (ret->kind != HANDOVER_BEGIN || ret->fds[HANDOVER_QUEUE] < 0 || ret->fds[HANDOVER_NETNS] < 0 ||
                        ret->fds[HANDOVER_MARKER_FD] < 0 || ret->fds[HANDOVER_SHM] < 0)) {
        handover_close(ret);
        result = -EPROTO;
    }
    return result;
}

void tree_answer(int channel, int result)
{
    struct handover reply;
    handover_clear(&reply, HANDOVER_REPLY);
    reply.error = result;
    handover_send(channel, &reply);
    close(channel);
}

int tree_begin(struct handover *h)
{
    handover_clear(&kept, HANDOVER_REPLY);
    kept.fds[HANDOVER_NETNS] = h->fds[HANDOVER_NETNS];
    kept.fds[HANDOVER_USERNS] = h->fds[HANDOVER_USERNS];
    kept.cookie = h->cookie;
    h->fds[HANDOVER_NETNS] = h->fds[HANDOVER_USERNS] = -1;
    markers.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    markers.ready = read_markers;
    int result = markers.fd < 0 ? -errno : loop_set_events(&markers, EPOLLIN);
    if (result == 0)
        result = add_marker(h->fds[HANDOVER_MARKER_FD]);
    listen_for_launchers();
    return result;
}

bool tree_lives(void)
{
    return n_markers > 0 || n_launchers > 0;
}

bool tree_close(void)
{
    if (listener.fd >= 0)
        accept_launcher(&listener, 0);
    if (tree_lives())
        return false;
    loop_close(&listener);
    return true;
}

/* Theory of operation
 *
 * The gateway is the only way out of the namespaces of a tree. It is outside of them, and has the namespace's sockets,
 * which the launcher made there (tools/reach). It is started before the command, and ends after the last process of the
 * namespaces, and after what these have written has been sent.
 *
 * One event loop serves all; threads only wait for servers (worker.h). If the gateway is killed, its connections are
 * reset, and nothing leaves the namespace any more. */
#include "diag.h"
#include "forward.h"
#include "handover.h"
#include "inject.h"
#include "loop.h"
#include "namespaces.h"
#include "outside.h"
#include "owner.h"
#include "queue.h"
#include "room.h"
#include "shm.h"
#include "tcp_flow.h"
#include "tree.h"
#include "udp_flow.h"
#include "worker.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_MS     1000
#define DESCRIPTORS (1 << 20)
#define HIGH        512 /* the descriptors of the shared state are at least this */

/* An echo request: no SOCKS5 server carries it. */
static void refuse_echo(uint32_t id, const struct packet *p)
{
    queue_drop(id);
    inject_error(p, ENETUNREACH);
}

static void take_packet(uint32_t id, const struct packet *p)
{
    forward_hurry();
    if (p->protocol == IPPROTO_TCP)
        tcp_flow_take_syn(id, p);
    else
        refuse_echo(id, p);
}

/* The socket's SYN may still be in the queue: without a look there its flow would begin after its end. */
static void tcp_closed(const struct s5_endpoint *from, const struct s5_endpoint *to)
{
    queue_read();
    tcp_flow_abandoned(from, to);
}

static const struct diag_events diag_events = {forward_listener, udp_flow_closed, tcp_closed};

/* Notices do not suffice: those of many sockets get lost, one of a socket that resets does not name its peer, and
 * datagrams that are read later than the notice begin their flow again. */
static void find_closed(void)
{
    struct ports ports;
    queue_read();
    if (tcp_flow_waits() && owner_list_ports(&ports, IPPROTO_TCP) == 0)
        tcp_flow_keep(&ports);
    if (udp_flow_count() > 0 && owner_list_ports(&ports, IPPROTO_UDP) == 0)
        udp_flow_keep(&ports);
}

static void resolve_servers(struct worker_job *job)
{
    (void)job;
    outside_resolve_servers();
}

static void ignore_result(struct worker_job *job)
{
    (void)job;
}

static int serve_namespace(struct handover *h)
{
    static struct worker_job resolve = {.run = resolve_servers, .done = ignore_result};
    int result = worker_begin();
    room_begin();
    outside_begin(h);
    inject_begin(h);
    if (result == 0)
        result = tcp_flow_begin(h);
    if (result == 0)
        result = udp_flow_begin(h);
    if (result == 0)
        result = diag_begin(h->fds[HANDOVER_DIAG], &diag_events);
    if (result == 0)
        result = queue_begin(h->fds[HANDOVER_QUEUE], take_packet);
    h->fds[HANDOVER_DIAG] = h->fds[HANDOVER_QUEUE] = -1;
    if (result == 0 && h->fds[HANDOVER_AGENT] >= 0)
        forward_begin(h->fds[HANDOVER_AGENT]);
    h->fds[HANDOVER_AGENT] = -1;
    if (result == 0)
        worker_start(&resolve);
    return result;
}

static void raise_limit(void)
{
    struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0) /* root */
        return;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int earlier_of(int ms, int other)
{
    return ms >= 0 && ms < other ? ms : other;
}

static void run_loop(void)
{
    int64_t tick = loop_now();
    while (tree_lives() || tcp_flow_count() > 0 || udp_flow_sends() || !tree_close()) {
        int left = earlier_of(udp_flow_linger(), earlier_of(forward_tick(), (int)(tick + TICK_MS - loop_now())));
        loop_run_once(left > 0 ? left : 0);
        if (loop_now() < tick + TICK_MS)
            continue;
        tick = loop_now();
        find_closed();
        tcp_flow_tick();
        udp_flow_tick();
    }
}

/* The engine begins with the shared state that came with the namespace. */
static int take_state(struct handover *h)
{
    char value[S5_SHM_VALUE_MAX];
    struct stat st;
    int fd = s5_shm_duplicate(h->fds[HANDOVER_SHM], h->fds[HANDOVER_POLICY], HIGH);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -EMFILE;
    s5_shm_value(&(struct s5_shm_location){.fd = fd, .inode = st.st_ino}, value);
    return setenv(S5_SHM_VARIABLE, value, 1) < 0 ? -errno : 0;
}

int main(void)
{
    struct handover h;
    sigset_t all;
    sigfillset(&all); /* signals for the terminal and the session are meant for the commands */
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_NAME, "socks5gateway");
    fcntl(S5_NAMESPACES_CHANNEL, F_SETFD, FD_CLOEXEC);
    if (tree_receive(S5_NAMESPACES_CHANNEL, &h) < 0)
        return EXIT_FAILURE;
    raise_limit();
    int result = take_state(&h);
    if (result == 0)
        result = loop_begin();
    if (result == 0)
        result = serve_namespace(&h);
    if (result == 0)
        result = tree_begin(&h);
    handover_close(&h);
    tree_answer(S5_NAMESPACES_CHANNEL, result);
    if (result == 0)
        run_loop();
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

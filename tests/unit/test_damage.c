/* The memory file, written over by another process that has it. Whatever is in it, calls come to an end with a
 * result that calls can have, and nothing outside of what they own is read or written: the sanitizers tell. */
#include "fake_world.h"
#include "last_peer.h"
#include "names.h"
#include "query.h"
#include "fd_record.h"
#include "fd_ops.h"
#include "connect.h"
#include "bind.h"
#include "accept.h"
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROUNDS 200

static uint64_t state; /* of the random numbers */

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* --- the damage --- */

#define PART(member, n) {offsetof(struct s5_shm, member), n}

/* What is in use of it, and is read. */
static const struct part {
    size_t at, size;
} parts[] = {
    PART(processes, offsetof(struct s5_shm, exports) - offsetof(struct s5_shm, processes)),
    PART(exports, 64 * sizeof(struct s5_exported)),
    PART(bridge, sizeof(struct s5_bridge_place)),
    PART(relayed_at, sizeof(uint32_t)),
    PART(relayed, sizeof(struct s5_exported_association) * 8),
    PART(negotiations_free, offsetof(struct s5_shm, negotiations) - offsetof(struct s5_shm, negotiations_free)),
    PART(negotiations[0], offsetof(struct s5_negotiation, session)),
    PART(negotiations[0].session, offsetof(struct s5_session, out)),
    PART(negotiations[1], sizeof(struct s5_negotiation) * 3),
    PART(stats, sizeof(struct s5_stats)),
    PART(slice, offsetof(struct s5_shm, pool.slots) - offsetof(struct s5_shm, slice)),
    PART(pool.slots, 8 * sizeof(struct s5_fake_pool_slot)),
    PART(listeners_used, sizeof(uint32_t)),
    PART(listeners[0], offsetof(struct s5_listener, negotiation)),
    PART(listeners[0].negotiation, sizeof(struct s5_negotiation)),
};
#define PARTS (sizeof parts / sizeof *parts)

static void damage_part(uint8_t *at, size_t size)
{
    uint64_t kind = draw() % 5;
    if (kind < 2) {
        memset(at, kind ? 0xff : 0, size);
        return;
    }
    for (size_t n = kind == 2 ? size : draw() % 16 + 1; n; n--) {
        uint32_t value = kind == 4 ? (uint32_t)(draw() % 300) : (uint32_t)draw();
        size_t where = draw() % size & ~(size_t)3;
        memcpy(at + where, &value, size - where < 4 ? size - where : 4);
    }
}

static void damage(struct s5_shm *shm)
{
    for (uint64_t n = draw() % 3 + 1; n; n--) {
        const struct part *part = &parts[draw() % PARTS];
        damage_part((uint8_t *)shm + part->at, part->size);
    }
}

/* --- the calls --- */

/* Time passes: a negotiation that makes no progress, though its socket is ready, ends when its time is over. */
static int slow_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    fake_net.now += S5_CLOCK_SECOND / 50;
    return fake_calls.ppoll(fds, n, timeout, mask);
}

static void plausible(ssize_t r)
{
    cr_assert_gt(r, -4096, "%zd", r);
}

static void ask(struct s5_engine *e, int fd)
{
    struct sockaddr_storage sa;
    int error = 0;
    socklen_t len = sizeof sa, size = sizeof error;
    plausible(s5_getpeername(e, fd, (struct sockaddr *)&sa, &len));
    len = sizeof sa;
    plausible(s5_getsockname(e, fd, (struct sockaddr *)&sa, &len));
    plausible(s5_getsockopt(e, fd, SOL_SOCKET, SO_ERROR, &error, &size));
    cr_assert(error >= 0 && error < 4096, "%d", error);
}

static int begin(struct s5_engine *e, int flags)
{
    struct sockaddr_in to = target(80);
    int fd = fake_socket(AF_INET, SOCK_STREAM | flags);
    plausible(s5_connect(e, fd, (struct sockaddr *)&to, sizeof to));
    return fd;
}

static void end(struct s5_engine *e, int fd)
{
    struct pollfd p = {fd, POLLOUT, 0};
    struct timespec limit = milliseconds(PATIENCE);
    char got[64];
    plausible(s5_wait_poll(e, &p, 1, &limit, NULL));
    ask(e, fd);
    plausible(s5_send(e, fd, "mine", 4, MSG_NOSIGNAL | MSG_DONTWAIT));
    plausible(s5_recvfrom(e, fd, got, sizeof got, MSG_DONTWAIT, NULL, NULL));
    plausible(s5_close(e, fd));
}

static void names(struct s5_engine *e)
{
    struct s5_names_answer answer;
    struct s5_addr addr;
    for (unsigned i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "name%u.example", i);
        plausible(s5_names_look_up(e, name, AF_UNSPEC, &answer));
        uint8_t octets[4] = {198, (uint8_t)(18 + draw() % 2), (uint8_t)draw(), (uint8_t)draw()};
        s5_addr_from_octets(&addr, i ? octets : answer.v4, 4, 80);
        plausible(s5_names_of(e, &addr));
    }
    s5_last_peer_expects(atomic_load(&e->shm), 7, &addr);
}

static void listen_on(struct s5_engine *e, int fd)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(8000)};
    plausible(s5_bind(e, fd, (struct sockaddr *)&own, sizeof own));
    plausible(s5_listen(e, fd, 5));
}

/* All that is known of the descriptors is what the file says. */
static void import(struct s5_engine *e, const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s5_fd_forget(e, fds[i]);
    s5_fd_import_all(e);
}

static void round_of(struct s5_engine *e, struct scene *s, unsigned round)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    state = 0x9e3779b97f4a7c15ull * (round + 1);
    s->method = round % METHODS;
    s->pipeline = round / 2 % PIPELINES;
    s->command = S5_CONNECT;
    s->at = draw() % (whole_size(s) + 1);
    s->way = s->at == whole_size(s) ? GOOD : CLOSE + draw() % (STALL - CLOSE);
    set_scene(e, s);
    fake_net.manner.each = draw() % 2;
    names(e);
    int fds[4] = {begin(e, SOCK_NONBLOCK), begin(e, 0), fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), -1};
    listen_on(e, fds[2]);
    s5_fd_export_all(e);
    damage(shm);
    if (draw() % 4 == 0)
        import(e, fds, 3);
    names(e);
    fds[3] = begin(e, draw() % 2 ? SOCK_NONBLOCK : 0);
    int came = s5_accept(e, fds[2], NULL, NULL, SOCK_CLOEXEC);
    plausible(came);
    if (came >= 0)
        end(e, came);
    damage(shm);
    for (size_t i = 0; i < 4; i++)
        end(e, fds[i]);
}

Test(damage, of_any_kind_ends_no_process, .timeout = 240)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct s5_engine *e = fake_engine();
        struct s5_policy *p = (struct s5_policy *)(uintptr_t)e->policy;
        struct s5_shm *shm = atomic_load(&e->shm);
        struct scene s = {.way = GOOD};
        struct s5_calls slow = fake_calls;
        slow.ppoll = slow_ppoll;
        e->real = &slow;
        p->log_counts = e->noted = true;
        round_of(e, &s, round);
        munmap(shm, sizeof *shm);
        close(atomic_load(&e->shm_fd));
        end_engine(e);
    }
}

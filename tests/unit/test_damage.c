/* Another process overwrites the shared state. Whatever it contains, calls must end with a result that is
 * possible for them, and may not read or write memory that they do not own. The sanitizers detect the latter. */
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

static uint64_t state; /* of the random number generator */

static uint64_t draw_number(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* --- the damage --- */

#define PART(member, n) {offsetof(struct s5_shm, member), n}

/* The parts that are in use and are read. */
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
    uint64_t kind = draw_number() % 5;
    if (kind < 2) {
        memset(at, kind ? 0xff : 0, size);
        return;
    }
    for (size_t n = kind == 2 ? size : draw_number() % 16 + 1; n; n--) {
        uint32_t value = kind == 4 ? (uint32_t)(draw_number() % 300) : (uint32_t)draw_number();
        size_t where = draw_number() % size & ~(size_t)3;
        memcpy(at + where, &value, size - where < 4 ? size - where : 4);
    }
}

static void damage_some(struct s5_shm *shm)
{
    for (uint64_t n = draw_number() % 3 + 1; n; n--) {
        const struct part *part = &parts[draw_number() % PARTS];
        damage_part((uint8_t *)shm + part->at, part->size);
    }
}

/* --- the calls --- */

/* Advances the time, so that a negotiation that makes no progress although its socket is ready ends at its
 * deadline. */
static int slow_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    fake_net.now += S5_CLOCK_SECOND / 50;
    return fake_calls.ppoll(fds, n, timeout, mask);
}

static void check_result(ssize_t r)
{
    cr_assert_gt(r, -4096, "%zd", r);
}

static void query_socket(struct s5_engine *e, int fd)
{
    struct sockaddr_storage sa;
    int error = 0;
    socklen_t len = sizeof sa, size = sizeof error;
    check_result(s5_getpeername(e, fd, (struct sockaddr *)&sa, &len));
    len = sizeof sa;
    check_result(s5_getsockname(e, fd, (struct sockaddr *)&sa, &len));
    check_result(s5_getsockopt(e, fd, SOL_SOCKET, SO_ERROR, &error, &size));
    cr_assert(error >= 0 && error < 4096, "%d", error);
}

static int begin_connect(struct s5_engine *e, int flags)
{
    struct sockaddr_in to = target(80);
    int fd = fake_socket(AF_INET, SOCK_STREAM | flags);
    check_result(s5_connect(e, fd, (struct sockaddr *)&to, sizeof to));
    return fd;
}

static void end_connect(struct s5_engine *e, int fd)
{
    struct pollfd p = {fd, POLLOUT, 0};
    struct timespec limit = milliseconds(LONG_WAIT);
    char got[64];
    check_result(s5_wait_poll(e, &p, 1, &limit, NULL));
    query_socket(e, fd);
    check_result(s5_send(e, fd, "mine", 4, MSG_NOSIGNAL | MSG_DONTWAIT));
    check_result(s5_recvfrom(e, fd, got, sizeof got, MSG_DONTWAIT, NULL, NULL));
    check_result(s5_close(e, fd));
}

static void look_up_names(struct s5_engine *e)
{
    struct s5_names_answer answer;
    struct s5_addr addr;
    for (unsigned i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "name%u.example", i);
        check_result(s5_names_look_up(e, name, AF_UNSPEC, &answer));
        uint8_t octets[4] = {198, (uint8_t)(18 + draw_number() % 2), (uint8_t)draw_number(), (uint8_t)draw_number()};
        s5_addr_from_octets(&addr, i ? octets : answer.v4, 4, 80);
        check_result(s5_names_of(e, &addr));
    }
    s5_last_peer_expects(atomic_load(&e->shm), 7, &addr);
}

static void listen_on(struct s5_engine *e, int fd)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(8000)};
    check_result(s5_bind(e, fd, (struct sockaddr *)&own, sizeof own));
    check_result(s5_listen(e, fd, 5));
}

/* Makes the shared state the only source of information about the descriptors. */
static void import_fds(struct s5_engine *e, const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s5_fd_forget(e, fds[i]);
    s5_fd_import_all(e);
}

static void run_round(struct s5_engine *e, struct scene *s, unsigned round)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    state = 0x9e3779b97f4a7c15ull * (round + 1);
    s->method = round % METHODS;
    s->pipeline = round / 2 % PIPELINES;
    s->command = S5_CONNECT;
    s->at = draw_number() % (whole_size(s) + 1);
    s->way = s->at == whole_size(s) ? GOOD : CLOSE + draw_number() % (STALL - CLOSE);
    set_scene(e, s);
    fake_net.manner.each = draw_number() % 2;
    look_up_names(e);
    int fds[4] = {begin_connect(e, SOCK_NONBLOCK), begin_connect(e, 0),
                  fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), -1};
    listen_on(e, fds[2]);
    s5_fd_export_all(e);
    damage_some(shm);
    if (draw_number() % 4 == 0)
        import_fds(e, fds, 3);
    look_up_names(e);
    fds[3] = begin_connect(e, draw_number() % 2 ? SOCK_NONBLOCK : 0);
    int came = s5_accept(e, fds[2], NULL, NULL, SOCK_CLOEXEC);
    check_result(came);
    if (came >= 0)
        end_connect(e, came);
    damage_some(shm);
    for (size_t i = 0; i < 4; i++)
        end_connect(e, fds[i]);
}

Test(damage_some, of_any_kind_crashes_no_process, .timeout = 240)
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
        run_round(e, &s, round);
        munmap(shm, sizeof *shm);
        close(atomic_load(&e->shm_fd));
        end_engine(e);
    }
}

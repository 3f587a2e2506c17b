/* Sockets passed over a UNIX socket, over the fake network. Two engines represent two processes of a tree. They
 * use the same descriptors. */
#include "connect.h"
#include "fake_world.h"
#include "fd_ops.h"
#include "fd_record.h"
#include "pass.h"
#include "passed.h"
#include "query.h"
#include <sys/un.h>

static struct s5_engine *e, *other;
static struct scene scene;
static int over;

/* Returns a socket that is connected to itself, so that it receives what it sends. */
static int unix_socket(void)
{
    struct sockaddr_un self = {.sun_family = AF_UNIX};
    socklen_t len = sizeof self.sun_family;
    int fd = fake_calls.socket(AF_UNIX, SOCK_DGRAM, 0);
    cr_assert(fd >= 0 && fake_calls.bind(fd, (struct sockaddr *)&self, len) == 0);
    len = sizeof self;
    cr_assert_eq(fake_calls.getsockname(fd, (struct sockaddr *)&self, &len), 0);
    cr_assert_eq(fake_calls.connect(fd, (struct sockaddr *)&self, len), 0);
    return fd;
}

static void set_up(void)
{
    e = fake_engine();
    other = calloc(1, sizeof *other);
    cr_assert(other);
    other->real = e->real;
    other->log = e->log;
    other->policy_file = e->policy_file;
    other->policy = e->policy;
    other->server_keys[0] = e->server_keys[0];
    atomic_store(&other->pid, atomic_load(&e->pid));
    atomic_store(&other->shm, atomic_load(&e->shm));
    atomic_store(&other->shm_fd, -1);
    atomic_store(&other->policy_state, S5_ENGINE_LOADED);
    scene = (struct scene){.method = NONE, .pipeline = OFF, .at = 10000, .command = S5_CONNECT};
    set_scene(e, &scene);
    over = unix_socket();
}

static void tear_down(void)
{
    fake_calls.close(over);
    check_clean(e, "at the end");
    free(other);
    end_engine(e);
}

TestSuite(pass, .init = set_up, .fini = tear_down);

static ssize_t pass_fd(int fd, int flags)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } c = {.room = {0}};
    char octet = 'x';
    struct iovec iov = {&octet, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
    c.header.cmsg_level = SOL_SOCKET;
    c.header.cmsg_type = SCM_RIGHTS;
    c.header.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&c.header), &fd, sizeof fd);
    return s5_pass_sendmsg(e, over, &msg, flags);
}

static int receive_fd(struct s5_engine *by, int flags)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } c;
    char octet;
    int fd = -1;
    struct iovec iov = {&octet, 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
    if (s5_pass_recvmsg(by, over, &msg, flags) == 1)
        memcpy(&fd, CMSG_DATA(&c.header), sizeof fd);
    return fd;
}

static int begin_connection(void)
{
    struct sockaddr_in to = target(80);
    int fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
    cr_assert_eq(s5_connect(e, fd, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
    return fd;
}

/* FD must be connected to the target, according to the engine BY. */
static void check_peer(struct s5_engine *by, int fd)
{
    struct sockaddr_in peer = {0}, to = target(80);
    socklen_t len = sizeof peer;
    cr_assert_eq(s5_getpeername(by, fd, (struct sockaddr *)&peer, &len), 0);
    cr_assert(peer.sin_port == to.sin_port && peer.sin_addr.s_addr == to.sin_addr.s_addr, "the server's name");
}

Test(pass, a_send_that_may_wait_finishes_the_negotiation)
{
    int fd = begin_connection();
    cr_assert_eq(pass_fd(fd, 0), 1);
    cr_assert_eq(s5_close(e, fd), 0);
    int got = receive_fd(other, 0);
    check_peer(other, got);
    cr_assert_eq(s5_close(other, got), 0);
}

Test(pass, a_send_that_must_not_wait_fails_with_EAGAIN)
{
    int fd = begin_connection();
    unsigned refused = 0;
    ssize_t r;
    while ((r = pass_fd(fd, MSG_DONTWAIT)) == -EAGAIN) {
        struct timespec limit = milliseconds(1000);
        struct pollfd p = {fd, POLLOUT, 0};
        cr_assert_eq(receive_fd(other, MSG_DONTWAIT), -1);
        s5_wait_poll(e, &p, 1, &limit, NULL);
        refused++;
    }
    cr_assert(r == 1 && refused > 0);
    int got = receive_fd(other, 0);
    check_peer(other, got);
    s5_close(other, got);
    s5_close(e, fd);
}

Test(pass, the_error_of_a_connection_is_passed_with_the_socket)
{
    scene.way = CLOSE;
    scene.at = 1;
    int fd = begin_connection(), error = 0;
    socklen_t len = sizeof error;
    cr_assert_eq(pass_fd(fd, 0), 1);
    s5_close(e, fd);
    int got = receive_fd(other, 0);
    cr_assert(other->registry.inflight_count, "its first octets come to the engine");
    cr_assert_eq(s5_getsockopt(other, got, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    cr_assert_eq(error, ECONNREFUSED, "%d", error);
    s5_close(other, got);
    cr_assert_eq(other->registry.inflight_count, 0);
}

Test(pass, a_process_can_pass_a_socket_to_itself)
{
    int fd = begin_connection();
    cr_assert_eq(pass_fd(fd, 0), 1);
    int peeked = receive_fd(e, MSG_PEEK);
    s5_close(e, fd);
    int got = receive_fd(e, 0);
    check_peer(e, peeked);
    s5_close(e, peeked);
    check_peer(e, got);
    s5_close(e, got);
}

Test(pass, a_socket_that_the_engine_has_released_is_not_imported)
{
    int fd = begin_connection();
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    cr_assert_eq(pass_fd(fd, 0), 1);
    int got = receive_fd(other, 0);
    s5_close(other, got);
    s5_fd_checked_record(other, got, &(uint64_t){0});
    cr_assert_eq(s5_connect(e, fd, &none, sizeof none), 0);
    cr_assert_eq(pass_fd(fd, 0), 1);
    got = receive_fd(other, 0);
    cr_assert(s5_registry_foreign(&other->registry, got));
    fake_calls.close(got);
    s5_close(e, fd);
}

Test(pass, a_failed_send_leaves_nothing)
{
    int fd = begin_connection();
    cr_assert_eq(pass_fd(fd, 0), 1);
    cr_assert_eq(pass_fd(fd, 0), -EAGAIN, "it is full");
    int got = receive_fd(other, 0);
    s5_close(other, got);
    s5_close(e, fd);
    cr_assert_eq(atomic_load(&e->registry.in_transit_count), 0);
}

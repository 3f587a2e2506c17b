/* Octets that a program writes into a negotiation by a way that no hook intercepts, over the fake network. */
#include "fake_world.h"
#include "query.h"
#include "fd_ops.h"
#include "connect.h"

static struct s5_engine *e;
static struct scene scene;
static char lines[4096];

static void keep_line(void *user, const char *line, size_t n)
{
    size_t have = strlen(lines);
    (void)user;
    if (have + n < sizeof lines)
        memcpy(lines + have, line, n);
}

static void set_up(void)
{
    e = fake_engine();
    e->log.write = keep_line;
}

static void tear_down(void)
{
    check_clean(e, "at the end");
    end_engine(e);
}

TestSuite(written, .init = set_up, .fini = tear_down);

/* Makes a connection into which the program writes after it has waited WAITS times, and closes it. Returns its
 * error. */
static int write_into(enum pipeline pipeline, enum method method, unsigned waits)
{
    struct sockaddr_in to = target(80);
    scene = (struct scene){.method = method, .pipeline = pipeline, .at = 10000, .command = S5_CONNECT};
    set_scene(e, &scene);
    memset(lines, 0, sizeof lines);
    int fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), error = 0, ready = 0;
    socklen_t len = sizeof error;
    cr_assert_eq(s5_connect(e, fd, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
    for (unsigned i = 0; !ready && i < 1000; i++) {
        struct timespec limit = milliseconds(i < waits ? 1 : LONG_WAIT);
        struct pollfd p = {fd, POLLOUT, 0};
        if (i == waits)
            fake_calls.send(fd, "SPOILT", 6, MSG_DONTWAIT);
        ready = s5_wait_poll(e, &p, 1, &limit, NULL);
    }
    cr_assert_eq(ready, 1);
    cr_assert_eq(s5_getsockopt(e, fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    bool heard = memmem(fake_net.peers[fake_net.n_peers - 1].heard, fake_net.peers[fake_net.n_peers - 1].n_heard,
                        "SPOILT", 6);
    if (error == 0) { /* the negotiation is followed only by octets of the connection */
        struct fake_peer *p = &fake_net.peers[fake_net.n_peers - 1];
        size_t greeting, auth;
        uint8_t words[128];
        size_t n = expected_words(&scene, words, &greeting, &auth);
        cr_assert(p->n_heard >= n && memcmp(p->heard, words, n) == 0, "the negotiation is spoilt");
    } else if (heard) {
        cr_assert_eq(error, ECONNABORTED, "%d", error);
        cr_assert(strstr(lines, "by a call that is not intercepted"), "%s", lines);
    }
    s5_close(e, fd);
    return error;
}

Test(written, no_negotiation_contains_octets_of_the_program)
{
    unsigned failed = 0, went = 0;
    for (unsigned pipeline = 0; pipeline < PIPELINES; pipeline++)
        for (unsigned method = NONE; method <= PASSWORD; method++)
            for (unsigned waits = 0; waits < 12; waits++) {
                int error = write_into((enum pipeline)pipeline, (enum method)method, waits);
                failed += error != 0;
                went += error == 0;
            }
    cr_assert(failed > 2 && went > 5, "%u failed, %u succeeded", failed, went);
}

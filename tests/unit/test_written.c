/* Octets that a program writes into a negotiation where no hook sees it, over the fake network. */
#include "fake_world.h"
#include "query.h"
#include "fd_ops.h"
#include "connect.h"

static struct s5_engine *e;
static struct scene scene;
static char lines[4096];

static void note(void *user, const char *line, size_t n)
{
    size_t have = strlen(lines);
    (void)user;
    if (have + n < sizeof lines)
        memcpy(lines + have, line, n);
}

static void begin(void)
{
    e = fake_engine();
    e->log.write = note;
}

static void end(void)
{
    check_clean(e, "at the end");
    end_engine(e);
}

TestSuite(written, .init = begin, .fini = end);

/* A connection into which the program writes when it has waited WAITS times: its error, and the socket is closed. */
static int spoil(enum pipeline pipeline, enum method method, unsigned waits)
{
    struct sockaddr_in to = target(80);
    scene = (struct scene){.method = method, .pipeline = pipeline, .at = 10000, .command = S5_CONNECT};
    set_scene(e, &scene);
    memset(lines, 0, sizeof lines);
    int fd = fake_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK), error = 0, ready = 0;
    socklen_t len = sizeof error;
    cr_assert_eq(s5_connect(e, fd, (struct sockaddr *)&to, sizeof to), -EINPROGRESS);
    for (unsigned i = 0; !ready && i < 1000; i++) {
        struct timespec limit = milliseconds(i < waits ? 1 : PATIENCE);
        struct pollfd p = {fd, POLLOUT, 0};
        if (i == waits)
            fake_calls.send(fd, "SPOILT", 6, MSG_DONTWAIT);
        ready = s5_wait_poll(e, &p, 1, &limit, NULL);
    }
    cr_assert_eq(ready, 1);
    cr_assert_eq(s5_getsockopt(e, fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    bool heard = memmem(fake_net.peers[fake_net.n_peers - 1].heard, fake_net.peers[fake_net.n_peers - 1].n_heard,
                        "SPOILT", 6);
    if (error == 0) { /* in front of nothing but the connection's octets */
        struct fake_peer *p = &fake_net.peers[fake_net.n_peers - 1];
        size_t greeting, auth;
        uint8_t words[128];
        size_t n = words_of(&scene, words, &greeting, &auth);
        cr_assert(p->n_heard >= n && memcmp(p->heard, words, n) == 0, "the negotiation is spoilt");
    } else if (heard) {
        cr_assert_eq(error, ECONNABORTED, "%d", error);
        cr_assert(strstr(lines, "by a way that is not intercepted"), "%s", lines);
    }
    s5_close(e, fd);
    return error;
}

Test(written, no_negotiation_has_octets_of_the_program_in_it)
{
    unsigned failed = 0, went = 0;
    for (unsigned pipeline = 0; pipeline < PIPELINES; pipeline++)
        for (unsigned method = NONE; method <= PASSWORD; method++)
            for (unsigned waits = 0; waits < 12; waits++) {
                int error = spoil((enum pipeline)pipeline, (enum method)method, waits);
                failed += error != 0;
                went += error == 0;
            }
    cr_assert(failed > 2 && went > 5, "%u failed, %u succeeded", failed, went);
}

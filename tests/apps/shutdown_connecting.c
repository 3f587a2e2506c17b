/* The target stalls: shutdown() of a socket that is connecting ends the attempt with ECONNRESET, whatever
 * it shuts down, in a thread that blocks in connect() too. The socket can connect again. */
#include "app.h"
#include <pthread.h>

static struct peer target;
static int fd, result;

static void *blocked(void *unused)
{
    result = connect(fd, peer_addr(&target), target.len) == 0 ? 0 : errno;
    return unused;
}

static void by_another_thread(int how)
{
    pthread_t thread;
    fd = tcp_socket(&target, 0);
    CHECK(pthread_create(&thread, NULL, blocked, NULL) == 0);
    usleep(300000);
    CHECK(shutdown(fd, how) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    if (result != ECONNRESET)
        FAIL("shutdown(%d): connect() says %s", how, strerror(result));
    CHECK(so_error(fd) == 0);
    close(fd);
}

static void in_flight(int how, bool asked)
{
    fd = tcp_begin(&target);
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    CHECK(poll(&p, 1, 200) == 0);
    CHECK(shutdown(fd, how) == 0);
    CHECK(poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP));
    if (asked)
        CHECK(so_error(fd) == ECONNRESET);
    CHECK(connect(fd, peer_addr(&target), target.len) == -1 && errno == EINPROGRESS);
    CHECK(poll(&p, 1, 200) == 0);
    close(fd);
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    for (int how = SHUT_RD; how <= SHUT_RDWR; how++) {
        by_another_thread(how);
        in_flight(how, true);
        in_flight(how, false);
    }
    return 0;
}

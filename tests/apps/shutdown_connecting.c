/* The target stalls. shutdown() of a connecting socket, in any direction, ends the attempt with ECONNRESET, also
 * in a thread that blocks in connect(). The socket can connect again. */
#include "app.h"
#include <pthread.h>

static struct peer target;
static int fd, result;

static void *connect_blocking(void *unused)
{
    result = connect(fd, peer_addr(&target), target.len) == 0 ? 0 : errno;
    return unused;
}

static void shut_down_from_thread(int how)
{
    pthread_t thread;
    fd = tcp_socket(&target, 0);
    CHECK(pthread_create(&thread, NULL, connect_blocking, NULL) == 0);
    usleep(300000);
    CHECK(shutdown(fd, how) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    if (result != ECONNRESET)
        FAIL("shutdown(%d): connect() failed with %s", how, strerror(result));
    CHECK(so_error(fd) == 0);
    close(fd);
}

static void shut_down_in_flight(int how, bool asked)
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
        shut_down_from_thread(how);
        shut_down_in_flight(how, true);
        shut_down_in_flight(how, false);
    }
    return 0;
}

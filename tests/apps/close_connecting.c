/* A thread blocks in connect(). Another thread closes its descriptor, or replaces it with another socket that is
 * connected to a listener on this machine. The blocked call continues with its own connection until that is
 * established or fails; the third argument ("fails") selects the latter. The other socket must not be affected. */
#include "app.h"
#include <pthread.h>

enum way { CLOSED, REPLACED, WAYS };

static struct peer target;
static int connecting, result;

static void *connect_blocking(void *unused)
{
    result = connect(connecting, peer_addr(&target), target.len) == 0 ? 0 : errno;
    return unused;
}

static struct peer near_listener(int *ret_fd)
{
    struct peer p = peer_of("127.0.0.1", "0");
    p.len = sizeof p.addr;
    *ret_fd = tcp_socket(&p, 0);
    CHECK(bind(*ret_fd, peer_addr(&p), sizeof(struct sockaddr_in)) == 0 && listen(*ret_fd, 1) == 0);
    CHECK(getsockname(*ret_fd, (struct sockaddr *)&p.addr, &p.len) == 0);
    return p;
}

static void pause_ms(int ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static int replace_fd(enum way way, const struct peer *p)
{
    if (way == CLOSED) {
        int before = connecting;
        CHECK(close(connecting) == 0);
        int fd = tcp_connect(p);
        CHECK(fd == before);
        return fd;
    }
    int fd = tcp_connect(p);
    CHECK(dup2(fd, connecting) == connecting);
    close(fd);
    return connecting;
}

/* The other socket carries only what its owner sends and receives. */
static void check_unaffected(int fd, int listener)
{
    char got[16];
    int far = accept(listener, NULL, NULL);
    struct pollfd p = {far, POLLIN, 0};
    CHECK(far >= 0 && write(far, "\5\2", 2) == 2);
    if (poll(&p, 1, 1000) != 0)
        FAIL("%zd octets arrived that were not sent", recv(far, got, sizeof got, MSG_DONTWAIT));
    CHECK(recv(fd, got, sizeof got, MSG_DONTWAIT) == 2 && memcmp(got, "\5\2", 2) == 0);
    CHECK(send(fd, "mine", 4, MSG_NOSIGNAL) == 4);
    wait_for(far, POLLIN);
    CHECK(recv(far, got, sizeof got, 0) == 4 && memcmp(got, "mine", 4) == 0);
    close(far);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    bool fails = argc > 3;
    target = peer_from(argc, argv);
    for (enum way way = CLOSED; way < WAYS; way++) {
        int listener;
        struct peer near = near_listener(&listener);
        connecting = tcp_socket(&target, 0);
        CHECK(pthread_create(&thread, NULL, connect_blocking, NULL) == 0);
        pause_ms(500);
        int fd = replace_fd(way, &near);
        check_unaffected(fd, listener);
        CHECK(pthread_join(thread, NULL) == 0);
        if (fails ? result != ETIMEDOUT : result != 0)
            FAIL("connect() on a closed or replaced descriptor: %s", strerror(result));
        check_names(fd, &near);
        close(fd);
        close(listener);
    }
    return 0;
}

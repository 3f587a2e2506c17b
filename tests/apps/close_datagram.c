/* The first sendto() of a socket, or a recvfrom(), blocks. Another thread replaces its descriptor with another
 * socket. The new socket keeps its peer and its received datagrams, and sends exactly what is written to it. */
#include "app.h"
#include <pthread.h>

static struct peer target;
static int waiting;
static bool receives;
static ssize_t result;
static int error;

static void *block_in_call(void *unused)
{
    char got[16];
    result = receives ? recvfrom(waiting, got, sizeof got, 0, NULL, NULL)
                      : sendto(waiting, "x", 1, 0, peer_addr(&target), target.len);
    error = errno;
    return unused;
}

static int udp_socket(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&here, sizeof here) == 0);
    return fd;
}

static void connect_to(int fd, int other)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    CHECK(getsockname(other, (struct sockaddr *)&at, &len) == 0);
    CHECK(connect(fd, (struct sockaddr *)&at, len) == 0);
}

static void pause_ms(int ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void check_replacement(int ms)
{
    char got[16];
    pthread_t thread;
    int here = udp_socket(), far = udp_socket();
    connect_to(here, far);
    connect_to(far, here);
    CHECK(send(far, "first", 5, 0) == 5);
    CHECK(pthread_create(&thread, NULL, block_in_call, NULL) == 0);
    pause_ms(ms);
    CHECK(dup2(here, waiting) == waiting);
    close(here);
    pause_ms(1000);
    CHECK(recv(waiting, got, sizeof got, MSG_DONTWAIT) == 5 && memcmp(got, "first", 5) == 0);
    CHECK(send(waiting, "mine", 4, 0) == 4);
    wait_for(far, POLLIN);
    CHECK(recv(far, got, sizeof got, 0) == 4 && memcmp(got, "mine", 4) == 0);
    CHECK(recv(far, got, sizeof got, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(send(far, "again", 5, 0) == 5);
    CHECK(recv(waiting, got, sizeof got, 0) == 5);
    if (receives)
        CHECK(pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    close(far);
    close(waiting);
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    waiting = socket(AF_INET, SOCK_DGRAM, 0);
    check_replacement(200);
    CHECK(result == 1 || (result == -1 && error == EBADF));
    receives = true;
    char got[16];
    waiting = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(sendto(waiting, "x", 1, 0, peer_addr(&target), target.len) == 1);
    CHECK(recv(waiting, got, sizeof got, 0) == 1);
    check_replacement(200);
    return 0;
}

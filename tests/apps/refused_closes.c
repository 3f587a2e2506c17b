/* The target stalls. Calls that would close or replace the descriptor of the connecting socket fail. The
 * connection must then still be in flight, and nothing can be sent. */
#include "app.h"
#include <limits.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sys/resource.h>

#define REFUSED(call, error) CHECK((call) == -1 && errno == (error))

static void still_connecting(int fd)
{
    REFUSED(write(fd, "mine", 4), EAGAIN);
    REFUSED(send(fd, "mine", 4, MSG_NOSIGNAL), EAGAIN);
}

/* Closes the descriptors of this thread only. */
static void *close_own(void *unused)
{
    CHECK(close_range(3, UINT_MAX, CLOSE_RANGE_UNSHARE) == 0);
    return unused;
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    int fd = tcp_begin(&p), other = open("/dev/null", O_WRONLY), high = fcntl(fd, F_DUPFD, 200);
    struct rlimit before, low;
    pthread_t thread;
    CHECK(fd >= 0 && other >= 0 && high >= 200);
    REFUSED(dup3(other, fd, O_WRONLY), EINVAL);
    still_connecting(fd);
    REFUSED(dup3(fd, fd, 0), EINVAL);
    REFUSED(dup2(199, fd), EBADF);
    REFUSED(dup3(199, fd, O_CLOEXEC), EBADF);
    REFUSED(dup2(other, -1), EBADF);
    still_connecting(fd);
    REFUSED(close_range((unsigned)fd, (unsigned)fd, 1 << 20), EINVAL);
    REFUSED(close_range((unsigned)fd, (unsigned)fd - 1, 0), EINVAL);
    still_connecting(fd);
    getrlimit(RLIMIT_NOFILE, &before);
    low = before;
    low.rlim_cur = 200; /* descriptors that are open stay open */
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    REFUSED(dup2(other, high), EBADF);
    REFUSED(dup3(other, high, 0), EBADF);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    still_connecting(high);
    CHECK(pthread_create(&thread, NULL, close_own, NULL) == 0 && pthread_join(thread, NULL) == 0);
    still_connecting(fd);
    still_connecting(high);
    CHECK(dup3(other, fd, O_CLOEXEC) == fd && write(fd, "mine", 4) == 4);
    still_connecting(high);
    return 0;
}

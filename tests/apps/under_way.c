/* Connections in flight: polled among many descriptors, used for sending and receiving in every way, and finished
 * by another program. */
#include "app.h"
#include <sys/resource.h>
#include <sys/uio.h>

static struct peer target;

/* More descriptors than fit into a small array, with the connections among them. */
static void check_among_many(void)
{
    enum { MANY = 700, CONNECTIONS = 3 };
    static struct pollfd fds[MANY];
    int silent[2], done = 0;
    CHECK(pipe(silent) == 0);
    for (int i = 0; i < MANY; i++)
        fds[i] = (struct pollfd){silent[0], POLLIN, 0};
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i * 300 + 50] = (struct pollfd){tcp_begin(&target), POLLOUT, 0};
    while (done < CONNECTIONS) {
        int n = poll(fds, MANY, 20000);
        CHECK(n > 0);
        for (int i = 0; i < MANY; i++) {
            if (!fds[i].revents)
                continue;
            CHECK(fds[i].events == POLLOUT && so_error(fds[i].fd) == 0);
            echo(fds[i].fd, "among many");
            close(fds[i].fd);
            fds[i].fd = -1;
            done++;
        }
    }
    struct rlimit files;
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    struct pollfd *too_many = calloc(files.rlim_cur + 1, sizeof *too_many);
    CHECK(too_many && poll(too_many, files.rlim_cur + 1, 0) == -1 && errno == EINVAL);
    free(too_many);
}

static void check_messages(void)
{
    char buf[4];
    struct iovec iov = {buf, sizeof buf};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    int fd = tcp_begin(&target), r = recvmmsg(fd, &m, 1, 0, NULL);
    CHECK(r == -1 && errno == EAGAIN);
    memcpy(buf, "many", 4);
    int flags = fcntl(fd, F_GETFL);
    CHECK(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0);
    CHECK(sendmmsg(fd, &m, 1, 0) == 1 && m.msg_len == 4);
    memset(buf, 0, sizeof buf);
    CHECK(recvmmsg(fd, &m, 1, MSG_WAITALL, NULL) == 1 && memcmp(buf, "many", 4) == 0);
    close(fd);
    fd = tcp_begin(&target); /* here the very first call blocks */
    CHECK(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0);
    CHECK(recvmmsg(fd, &m, 1, MSG_DONTWAIT, NULL) == -1 && errno == EAGAIN);
    CHECK(send(fd, "here", 4, 0) == 4);
    CHECK(recvmmsg(fd, &m, 1, MSG_WAITALL, NULL) == 1 && memcmp(buf, "here", 4) == 0);
    close(fd);
}

/* Finishes a connection that another program has begun. */
static int finish_connect(int fd)
{
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    check_names(fd, &target);
    echo(fd, "by another");
    return 0;
}

int main(int argc, char **argv)
{
    target = peer_from(argc, argv);
    if (argc > 3)
        return finish_connect(atoi(argv[3]));
    check_among_many();
    check_messages();
    for (int i = 0; i < 2; i++) {
        char number[16];
        int fd = tcp_begin(&target);
        snprintf(number, sizeof number, "%d", fd);
        pid_t pid = fork();
        if (pid == 0)
            execl("/proc/self/exe", argv[0], argv[1], argv[2], number, (char *)NULL);
        if (i) /* finished by both concurrently, or by the child alone */
            wait_for(fd, POLLOUT);
        child_ends(pid);
        check_names(fd, &target);
        echo(fd, "by this one");
    }
    return 0;
}

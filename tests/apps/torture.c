/* What it is told on standard input, a line a case; what it came to on standard output: "ok" or the errno
 * by its name, and how many descriptors are open after it. One process does them all, so that what one
 * case leaves behind the next ones meet. HOST and PORT are the target.
 *
 *   connect   blocking                 send      a datagram
 *   poll      non-blocking             many N    N at once, non-blocking: how each of them ends */
#include "app.h"

static struct peer p;

static int finished(int fd)
{
    wait_for(fd, POLLOUT);
    return so_error(fd);
}

/* A connection that came about says "mine" behind the reply. */
static int greeted(int fd)
{
    char text[5] = "";
    size_t got = 0;
    while (got < 4) {
        wait_for(fd, POLLIN);
        ssize_t n = read(fd, text + got, 4 - got);
        if (n <= 0)
            return n < 0 ? errno : EPIPE;
        got += (size_t)n;
    }
    return strcmp(text, "mine") == 0 ? 0 : EBADMSG;
}

static int connects(int flags)
{
    int fd = tcp_socket(&p, flags), error = 0;
    if (connect(fd, peer_addr(&p), p.len) != 0)
        error = errno;
    if (flags && error == EINPROGRESS)
        error = finished(fd);
    if (error == 0)
        error = greeted(fd);
    CHECK(close(fd) == 0);
    return error;
}

static int sends(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    int error = sendto(fd, "mine", 4, 0, peer_addr(&p), p.len) == 4 ? 0 : errno;
    CHECK(close(fd) == 0);
    return error;
}

static void many(int n)
{
    int fds[256];
    CHECK(n > 0 && n <= 256);
    for (int i = 0; i < n; i++)
        fds[i] = tcp_begin(&p);
    for (int i = 0; i < n; i++) {
        int error = finished(fds[i]);
        printf("%s ", error ? strerrorname_np(error) : "ok");
        CHECK(close(fds[i]) == 0);
    }
    printf("%d\n", descriptors());
}

int main(int argc, char **argv)
{
    char line[64];
    p = peer_from(argc, argv);
    while (fgets(line, sizeof(line), stdin)) {
        int n, error;
        if (sscanf(line, "many %d", &n) == 1) {
            many(n);
            fflush(stdout);
            continue;
        }
        if (strncmp(line, "connect", 7) == 0)
            error = connects(0);
        else if (strncmp(line, "poll", 4) == 0)
            error = connects(SOCK_NONBLOCK);
        else
            error = sends();
        printf("%s %d\n", error ? strerrorname_np(error) : "ok", descriptors());
        fflush(stdout);
    }
    return 0;
}

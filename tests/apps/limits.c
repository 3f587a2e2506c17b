/* Exhausts descriptors, uses numbers above 9,000, and exhausts memory. Each shortage returns an errno, and
 * afterwards connections work as before. */
#include "app.h"
#include <sys/resource.h>

static struct peer p;

static void set_limit(int what, rlim_t most)
{
    struct rlimit l;
    CHECK(getrlimit(what, &l) == 0);
    l.rlim_cur = most < l.rlim_max ? most : l.rlim_max;
    CHECK(setrlimit(what, &l) == 0);
}

/* All descriptor numbers but that of the socket are in use. The socket connects, and so does the next one. */
static void no_descriptor(void)
{
    int held[128], n = 0, fd = tcp_socket(&p, 0);
    set_limit(RLIMIT_NOFILE, 64);
    while (n < 128 && (held[n] = dup(0)) >= 0)
        n++;
    CHECK(n < 128 && errno == EMFILE);
    CHECK(socket(p.family, SOCK_STREAM, 0) == -1 && errno == EMFILE);
    CHECK(connect(fd, peer_addr(&p), p.len) == 0);
    echo(fd, "the last number");
    close(fd);
    fd = tcp_begin(&p);
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    echo(fd, "and again");
    close(fd);
    while (n)
        close(held[--n]);
}

static void high_numbers(void)
{
    struct rlimit l;
    CHECK(getrlimit(RLIMIT_NOFILE, &l) == 0);
    if (l.rlim_max < 10000)
        l.rlim_max = 10000; /* root may raise the hard limit */
    l.rlim_cur = 10000;
    CHECK(setrlimit(RLIMIT_NOFILE, &l) == 0);
    int fd = tcp_begin(&p), high = fcntl(fd, F_DUPFD_CLOEXEC, 9900);
    CHECK(high >= 9900);
    close(fd);
    wait_for(high, POLLOUT);
    CHECK(so_error(high) == 0);
    check_names(high, &p);
    echo(high, "a high number");
    close(high);
    for (int i = 0; i < 9000; i++)
        CHECK((fd = dup(0)) >= 0);
    fd = tcp_connect(&p);
    CHECK(fd >= 9000);
    echo(fd, "among nine thousand");
    for (int i = 3; i <= fd; i++)
        close(i);
}

/* With no address space left, a connect may fail, but the process must survive. */
static void no_memory(void)
{
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_AS, &before) == 0);
    set_limit(RLIMIT_AS, 1 << 20);
    for (int i = 0; i < 3; i++) {
        int fd = tcp_socket(&p, 0);
        if (connect(fd, peer_addr(&p), p.len) == 0)
            echo(fd, "without memory");
        else
            CHECK(errno == ENOMEM || errno == ENOBUFS || errno == EACCES);
        close(fd);
    }
    CHECK(setrlimit(RLIMIT_AS, &before) == 0);
    int fd = tcp_connect(&p);
    echo(fd, "with memory again");
    close(fd);
}

int main(int argc, char **argv)
{
    p = peer_from(argc, argv);
    no_memory();
    no_descriptor();
    high_numbers();
    return 0;
}

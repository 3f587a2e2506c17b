/* Looks up 65,536 names and then connects to each of them. The SOCKS server is part of this program and listens
 * on PORT of loopback. It sends back the requested name, which must be the right one. The program forks the
 * server before it looks anything up. */
#include "app.h"
#include <netdb.h>
#include <sys/prctl.h>
#include <signal.h>

enum { NAMES = 65536 };

static void read_whole(int fd, void *buf, size_t n)
{
    for (size_t have = 0; have < n;) {
        ssize_t r = read(fd, (char *)buf + have, n - have);
        if (r <= 0)
            FAIL("read returned %zd", r);
        have += (size_t)r;
    }
}

/* Serves one request for a name: replies with success, followed by the name as the data of the target. */
static void serve_one(int fd)
{
    static const struct linger at_once = {1, 0};
    unsigned char head[3], request[5], rest[257], answer[10 + 256] = {5, 0, 0, 1};
    read_whole(fd, head, 3);
    CHECK(write(fd, "\5\0", 2) == 2);
    read_whole(fd, request, 5);
    CHECK(request[0] == 5 && request[1] == 1 && request[3] == 3);
    read_whole(fd, rest, (size_t)request[4] + 2);
    memcpy(answer + 10, rest, request[4]);
    CHECK(write(fd, answer, 10 + (size_t)request[4]) == 10 + request[4]);
    char end;
    CHECK(read(fd, &end, 1) == 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
}

static pid_t start_server(const char *port)
{
    struct peer p = peer_of("127.0.0.1", port);
    int on = 1, listener = tcp_socket(&p, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    CHECK(bind(listener, peer_addr(&p), p.len) == 0 && listen(listener, 64) == 0);
    pid_t pid = fork();
    if (pid)
        return close(listener), pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        CHECK(fd >= 0);
        serve_one(fd);
    }
}

static struct sockaddr_storage found[NAMES];

static int format_name(char *buf, size_t size, unsigned i)
{
    return snprintf(buf, size, "host-%u.of-many.example", i);
}

static void connect_to(unsigned i)
{
    char name[64], received[64];
    struct peer p = {.addr = found[i], .len = sizeof(struct sockaddr_in), .family = AF_INET};
    int n = format_name(name, sizeof(name), i), fd = tcp_connect(&p);
    read_whole(fd, received, (size_t)n);
    if (memcmp(name, received, (size_t)n) != 0)
        FAIL("%s was requested as %.*s", name, n, received);
    CHECK(write(fd, ".", 1) == 1);
    read(fd, received, 1); /* waits until the server closes the connection */
    close(fd);
}

int main(int argc, char **argv)
{
    CHECK(argc > 1);
    pid_t server = start_server(argv[1]);
    for (unsigned i = 0; i < NAMES; i++) {
        struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
        char name[64];
        format_name(name, sizeof(name), i);
        CHECK(getaddrinfo(name, "80", &hints, &list) == 0);
        memcpy(&found[i], list->ai_addr, list->ai_addrlen);
        freeaddrinfo(list);
    }
    for (unsigned i = 0; i < NAMES; i++)
        connect_to(i);
    kill(server, SIGKILL);
    return 0;
}

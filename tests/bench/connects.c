/* Connects N times to 127.0.0.1:PORT, one after another. MODE "block" uses blocking calls. "epoll" uses non-blocking
 * calls as event loops do. "name" looks up a name and connects to its address. "none" makes a socket and closes it. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_block(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = connect(fd, (const struct sockaddr *)to, sizeof *to);
    close(fd);
    return r;
}

static int connect_epoll(const struct sockaddr_in *to, int ep)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
    socklen_t len = sizeof error;
    struct epoll_event e = {.events = EPOLLOUT};
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 && errno != EINPROGRESS)
        return -1;
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
    if (epoll_wait(ep, &e, 1, 10000) != 1)
        return -1;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
        return -1;
    close(fd);
    return 0;
}

static int connect_name(const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *list;
    if (getaddrinfo("some-host.of-the.example", port, &hints, &list) != 0)
        return -1;
    int fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC, list->ai_protocol);
    int r = connect(fd, list->ai_addr, list->ai_addrlen);
    close(fd);
    freeaddrinfo(list);
    return r;
}

static int connect_none(void)
{
    return close(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int connect_one(const char *mode, const char *port, int ep)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (strcmp(mode, "name") == 0)
        return connect_name(port);
    if (strcmp(mode, "none") == 0)
        return connect_none();
    return strcmp(mode, "block") == 0 ? connect_block(&to) : connect_epoll(&to, ep);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int ep = epoll_create1(EPOLL_CLOEXEC);
    for (int n = atoi(argv[3]); n > 0; n--)
        if (connect_one(argv[1], argv[2], ep) != 0) {
            perror("connect");
            return 1;
        }
    return 0;
}

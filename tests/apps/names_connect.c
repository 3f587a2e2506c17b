/* NAME PORT [covered]: every address of NAME can be connected to, immediately and in a child. An address that a
 * child looked up works in its parent. In a covered program an address also resolves back to the name. */
#include "app.h"
#include <netdb.h>

static struct addrinfo *look_up(const char *name, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int r = getaddrinfo(name, port, &hints, &list);
    if (r)
        FAIL("%s: %s", name, gai_strerror(r));
    return list;
}

static void try_one(const struct addrinfo *ai)
{
    struct peer p = {.len = ai->ai_addrlen, .family = ai->ai_family};
    memcpy(&p.addr, ai->ai_addr, ai->ai_addrlen);
    int fd = tcp_connect(&p);
    check_names(fd, &p);
    echo(fd, "by name");
    close(fd);
    fd = tcp_begin(&p);
    wait_for(fd, POLLOUT);
    CHECK(so_error(fd) == 0);
    check_names(fd, &p);
    echo(fd, "by name, without waiting");
    close(fd);
}

static void check_reverse(const char *name, const struct addrinfo *ai)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)ai->ai_addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)ai->ai_addr;
    bool is4 = ai->ai_family == AF_INET;
    char host[NI_MAXHOST], serv[NI_MAXSERV];
    CHECK(getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host), serv, sizeof(serv),
                      NI_NAMEREQD | NI_NUMERICSERV) == 0);
    CHECK(strcmp(host, name) == 0 && atoi(serv) == ntohs(v4->sin_port));
    CHECK(getnameinfo(ai->ai_addr, ai->ai_addrlen, host, 3, NULL, 0, 0) == EAI_OVERFLOW);
    CHECK(getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST) == 0);
    CHECK(strcmp(host, name) != 0);
    struct hostent *he = gethostbyaddr(is4 ? (const void *)&v4->sin_addr : &v6->sin6_addr,
                                       is4 ? 4 : 16, ai->ai_family);
    CHECK(he && strcmp(he->h_name, name) == 0 && he->h_addrtype == ai->ai_family);
}

int main(int argc, char **argv)
{
    int pipes[2];
    CHECK(argc > 2 && pipe(pipes) == 0);
    struct addrinfo *list = look_up(argv[1], argv[2]);
    for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        try_one(ai);
        if (argc > 3)
            check_reverse(argv[1], ai);
    }
    pid_t pid = fork();
    if (pid == 0) {
        char other[300];
        try_one(list);
        snprintf(other, sizeof(other), "another.%s", argv[1]);
        struct addrinfo *mine = look_up(argc > 3 ? other : argv[1], argv[2]);
        CHECK(write(pipes[1], mine->ai_addr, mine->ai_addrlen) == (ssize_t)mine->ai_addrlen);
        _exit(0);
    }
    child_ends(pid);
    struct sockaddr_storage from_child;
    ssize_t n = read(pipes[0], &from_child, sizeof(from_child));
    struct addrinfo theirs = {.ai_family = from_child.ss_family,
                              .ai_addr = (struct sockaddr *)&from_child,
                              .ai_addrlen = (socklen_t)n};
    CHECK(n > 0);
    try_one(&theirs);
    freeaddrinfo(list);
    return 0;
}

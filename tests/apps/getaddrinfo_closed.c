/* Looks up literals and localhost, which need no name server. With the third argument "closed" it also does a
 * reverse lookup that only a name server could answer. That one must fail. */
#include "app.h"
#include <netdb.h>

static int look_up(const char *name, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags}, *found = NULL;
    int r = getaddrinfo(name, "80", &hints, &found);
    if (r == 0)
        freeaddrinfo(found);
    return r;
}

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    CHECK(look_up(argv[1], 0) == 0);
    CHECK(look_up(argv[1], AI_NUMERICHOST) == 0);
    CHECK(look_up("localhost", 0) == 0);
    CHECK(look_up("", 0) == EAI_NONAME);
    CHECK(look_up(NULL, AI_PASSIVE) == 0);
    CHECK(look_up("name.example", AI_NUMERICHOST) == EAI_NONAME);
    if (argc > 3) {
        char host[64];
        CHECK(getnameinfo(peer_addr(&p), p.len, host, sizeof(host), NULL, 0, NI_NAMEREQD) != 0);
    }
    int fd = tcp_connect(&p);
    echo(fd, "resolved");
    return 0;
}

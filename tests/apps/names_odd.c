/* Invalid names, names at the length limits, and fake addresses that are not assigned to a name. */
#include "app.h"
#include <netdb.h>

static int look_up(const char *name)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int r = getaddrinfo(name, "80", &hints, &list);
    if (r == 0)
        freeaddrinfo(list);
    return r;
}

/* Returns a name of LEN octets, in labels of at most 49 octets. */
static char *make_name(size_t len)
{
    static char name[400];
    for (size_t i = 0; i < len; i++)
        name[i] = i % 50 == 49 && i != len - 1 ? '.' : 'a';
    name[len] = 0;
    return name;
}

static void check_refused(const char *address, int type)
{
    struct peer p = peer_of(address, "80");
    int fd = socket(p.family, type, 0);
    CHECK(fd >= 0);
    if (type == SOCK_DGRAM)
        CHECK(sendto(fd, "x", 1, 0, peer_addr(&p), p.len) == -1 && errno == EHOSTUNREACH);
    CHECK(connect(fd, peer_addr(&p), p.len) == -1 && errno == EHOSTUNREACH);
    close(fd);
}

int main(void)
{
    static const char *const none[] = {"",       "with space.example", "a/b",      "\xc3\xa4.example",
                                       "a:b",    "[::1]",              "\1",       "fe80::1%no-such",
                                       "1::2::3"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (look_up(none[i]) != EAI_NONAME)
            FAIL("\"%s\" is accepted as a name", none[i]);
    for (size_t len = 1; len <= 255; len++)
        if (look_up(make_name(len)) != 0)
            FAIL("a name of %zu octets is refused", len);
    for (size_t len = 256; len < 300; len++)
        CHECK(look_up(make_name(len)) == EAI_NONAME);
    static const char *const all[] = {"xn--bcher-kva.example", "_srv._tcp.example", "dot.example.",
                                      "a", "localhost", "below.localhost", "127.1", "::1"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (look_up(all[i]) != 0)
            FAIL("\"%s\" is refused as a name", all[i]);
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
        check_refused("198.19.200.7", type);
        check_refused("198.18.0.0", type);
        check_refused("198.19.255.255", type);
        check_refused("fdc4:8b1e:5053::1:fffe", type);
        check_refused("fdc4:8b1e:5053::ffff:1", type);
        check_refused("::ffff:198.19.200.7", type);
    }
    return 0;
}

/* The ways of socks5_connect() to a server and to a target: by a path, by a name, resolved here, and
 * those that lead nowhere. The server takes every connection and says "hi" behind its reply. */
#include "socks5client.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listener;
static uint8_t asked[64]; /* the request of the last connection */
static pthread_t thread;

/* Takes what is expected to come in one flight: greeting and request. */
static void *serve(void *user)
{
    (void)user;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        uint8_t greeting[3], rest[8];
        if (recv(fd, greeting, 3, MSG_WAITALL) != 3 || recv(fd, asked, sizeof asked, 0) < 7)
            continue;
        send(fd, "\5\0\5\0\0\1\1\2\3\4\0\7hi", 14, MSG_NOSIGNAL);
        while (recv(fd, rest, sizeof rest, 0) > 0)
            ;
    }
    return NULL;
}

static void begin(const void *addr, socklen_t len)
{
    listener = socket(((const struct sockaddr *)addr)->sa_family, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, addr, len), 0);
    cr_assert_eq(listen(listener, 5), 0);
    cr_assert_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

static uint16_t begin_on_loopback(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    begin(&in, sizeof in);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&in, &len), 0);
    return ntohs(in.sin_port);
}

static void end(void)
{
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
}

/* A connection to HOST by URL that is one; what the server was asked is in ASKED. */
static void expect_connected(const char *url, const char *host)
{
    char hi[2];
    int fd = socks5_connect(url, host, 80, 20000);
    cr_assert_geq(fd, 0, "%s: %d", url, fd);
    cr_assert(recv(fd, hi, 2, MSG_WAITALL) == 2 && memcmp(hi, "hi", 2) == 0);
    close(fd);
}

Test(api_ways, a_server_at_a_path, .timeout = 60)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/test_api_ways.XXXXXX", url[128];
    cr_assert(mkdtemp(dir));
    snprintf(un.sun_path, sizeof un.sun_path, "%s/a socket", dir);
    begin(&un, sizeof un);
    snprintf(url, sizeof url, "socks5h://localhost%s/a%%20socket", dir);
    expect_connected(url, "target.example");
    cr_assert_eq(memcmp(asked, "\5\1\0\3\16target.example\0\120", 21), 0);
    end();
    cr_assert_eq(socks5_connect(url, "target.example", 80, 20000), -ECONNREFUSED);
    unlink(un.sun_path);
    cr_assert_eq(socks5_connect(url, "target.example", 80, 20000), -ENOENT);
    rmdir(dir);
}

Test(api_ways, a_server_by_name, .timeout = 60)
{
    char url[64];
    uint16_t port = begin_on_loopback();
    snprintf(url, sizeof url, "socks5h://localhost:%u", port);
    expect_connected(url, "target.example");
    end();
    cr_assert_eq(socks5_connect(url, "target.example", 80, 20000), -ECONNREFUSED);
}

Test(api_ways, a_target_resolved_here, .timeout = 60)
{
    char url[64];
    snprintf(url, sizeof url, "socks5://127.0.0.1:%u", begin_on_loopback());
    expect_connected(url, "127.0.0.3");
    cr_assert_eq(memcmp(asked, "\5\1\0\1\177\0\0\3\0\120", 10), 0);
    expect_connected(url, "localhost"); /* whichever of its addresses is first */
    cr_assert(asked[3] == 1 || asked[3] == 4, "as a name: %d", asked[3]);
    cr_assert_eq(socks5_connect(url, "no such name", 80, 20000), -EINVAL);
    cr_assert_eq(socks5_connect(url, "a.name.of.invalid", 80, 20000), -EHOSTUNREACH);
    end();
}

Test(api_ways, no_time_at_all)
{
    char url[64];
    snprintf(url, sizeof url, "socks5h://127.0.0.1:%u", begin_on_loopback());
    cr_assert_eq(socks5_connect(url, "target.example", 80, 0), -ETIMEDOUT);
    end();
}

/* The ways in which socks5_connect() reaches a server and a target: by a path, by a name, with a target resolved
 * on this machine, and those that fail. The server accepts every connection and sends "hi" after its reply. */
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
static uint8_t last_request[64]; /* the request of the last connection */
static pthread_t thread;

/* Expects the greeting and the request to be pipelined. */
static void *run_server(void *user)
{
    (void)user;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        uint8_t greeting[3], rest[8];
        if (recv(fd, greeting, 3, MSG_WAITALL) != 3 || recv(fd, last_request, sizeof last_request, 0) < 7)
            continue;
        send(fd, "\5\0\5\0\0\1\1\2\3\4\0\7hi", 14, MSG_NOSIGNAL);
        while (recv(fd, rest, sizeof rest, 0) > 0)
            ;
    }
    return NULL;
}

static void start_server(const void *addr, socklen_t len)
{
    listener = socket(((const struct sockaddr *)addr)->sa_family, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, addr, len), 0);
    cr_assert_eq(listen(listener, 5), 0);
    cr_assert_eq(pthread_create(&thread, NULL, run_server, NULL), 0);
}

static uint16_t start_on_loopback(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    start_server(&in, sizeof in);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&in, &len), 0);
    return ntohs(in.sin_port);
}

static void stop_server(void)
{
    shutdown(listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(listener);
}

/* Connects to HOST by URL, which must succeed. LAST_REQUEST then holds the request. */
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
    start_server(&un, sizeof un);
    snprintf(url, sizeof url, "socks5h://localhost%s/a%%20socket", dir);
    expect_connected(url, "target.example");
    cr_assert_eq(memcmp(last_request, "\5\1\0\3\16target.example\0\120", 21), 0);
    stop_server();
    cr_assert_eq(socks5_connect(url, "target.example", 80, 20000), -ECONNREFUSED);
    unlink(un.sun_path);
    cr_assert_eq(socks5_connect(url, "target.example", 80, 20000), -ENOENT);
    rmdir(dir);
}

Test(api_ways, a_server_by_name, .timeout = 60)
{
    char url[64];
    uint16_t port = start_on_loopback();
    snprintf(url, sizeof url, "socks5h://localhost:%u", port);
    expect_connected(url, "target.example");
    stop_server();
    cr_assert_eq(socks5_connect(url, "target.example", 80, 20000), -ECONNREFUSED);
}

Test(api_ways, a_target_resolved_on_this_machine, .timeout = 60)
{
    char url[64];
    snprintf(url, sizeof url, "socks5://127.0.0.1:%u", start_on_loopback());
    expect_connected(url, "127.0.0.3");
    cr_assert_eq(memcmp(last_request, "\5\1\0\1\177\0\0\3\0\120", 10), 0);
    expect_connected(url, "localhost"); /* whichever of its addresses comes first */
    cr_assert(last_request[3] == 1 || last_request[3] == 4, "as a name: %d", last_request[3]);
    cr_assert_eq(socks5_connect(url, "no such name", 80, 20000), -EINVAL);
    cr_assert_eq(socks5_connect(url, "a.name.of.invalid", 80, 20000), -EHOSTUNREACH);
    stop_server();
}

Test(api_ways, a_timeout_of_zero)
{
    char url[64];
    snprintf(url, sizeof url, "socks5h://127.0.0.1:%u", start_on_loopback());
    cr_assert_eq(socks5_connect(url, "target.example", 80, 0), -ETIMEDOUT);
    stop_server();
}

/* Fetches a page with blocking calls: fetch SERVER-URL HOST PORT PATH
 *
 * socks5_connect() connects and negotiates, at most 10 seconds. It returns an ordinary connected socket. */
#include <socks5client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char buf[4096];
    if (argc != 5) {
        fprintf(stderr, "usage: fetch socks5h://SERVER HOST PORT PATH\n");
        return 2;
    }
    int fd = socks5_connect(argv[1], argv[2], (uint16_t)atoi(argv[3]), 10000);
    if (fd < 0) {
        fprintf(stderr, "fetch: %s\n", strerror(-fd));
        return 1;
    }
    int len = snprintf(buf, sizeof buf, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", argv[4], argv[2]);
    if (len < 0 || (size_t)len >= sizeof buf || write(fd, buf, (size_t)len) != len)
        return 1;
    ssize_t n;
    while ((n = read(fd, buf, sizeof buf)) > 0)
        fwrite(buf, 1, (size_t)n, stdout);
    close(fd);
    return n < 0;
}

/* Sends a line and prints the reply, as finger and whois do: legacy HOST PORT LINE
 *
 * The source has no SOCKS code. It uses a proxy when it is compiled like this:
 *
 *   cc $(pkg-config --cflags --libs socks5client-dropin) legacy.c */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in sin;
    struct hostent *hp;
    fd_set readable;
    char buf[512];
    ssize_t n;
    int s;

    if (argc != 4)
        return 2;
    hp = gethostbyname(argv[1]);
    if (hp == NULL) {
        fprintf(stderr, "legacy: %s: unknown host\n", argv[1]);
        return 1;
    }
    memset(&sin, 0, sizeof sin);
    sin.sin_family = AF_INET;
    memcpy(&sin.sin_addr, hp->h_addr_list[0], (size_t)hp->h_length);
    sin.sin_port = htons((unsigned short)atoi(argv[2]));
    s = socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0 || connect(s, (struct sockaddr *)&sin, sizeof sin) < 0) {
        perror("legacy: connect");
        return 1;
    }
    n = snprintf(buf, sizeof buf, "%s\r\n\r\n", argv[3]);
    if (write(s, buf, (size_t)n) != n)
        return 1;
    for (;;) {
        FD_ZERO(&readable);
        FD_SET(s, &readable);
        if (select(s + 1, &readable, NULL, NULL, NULL) < 0 || (n = read(s, buf, sizeof buf)) <= 0)
            break;
        fwrite(buf, 1, (size_t)n, stdout);
    }
    close(s);
    return 0;
}

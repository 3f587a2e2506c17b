/* Sends a DNS query in a datagram: query SERVER-URL NAMESERVER PORT NAME
 *
 * Prints NAME's IPv4 address. */
#include <arpa/inet.h>
#include <socks5client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writes a DNS query of type A to BUF. Returns its length, or 0 if NAME is not valid. */
static size_t build_query(unsigned char *buf, const char *name)
{
    static const unsigned char head[12] = {0x50, 0x35, 1, 0, 0, 1};
    unsigned char *at = buf + sizeof head;
    if (strlen(name) > 250)
        return 0;
    memcpy(buf, head, sizeof head);
    for (const char *part = name; *part;) {
        size_t len = strcspn(part, ".");
        if (len < 1 || len > 63)
            return 0;
        *at++ = (unsigned char)len;
        memcpy(at, part, len);
        at += len;
        part += len + (part[len] == '.');
    }
    memcpy(at, "\0\0\1\0\1", 5);
    return (size_t)(at + 5 - buf);
}

int main(int argc, char **argv)
{
    struct socks5_association *a;
    unsigned char question[300], answer[1500];
    char from[256], text[INET_ADDRSTRLEN];
    uint16_t port;
    if (argc != 5)
        return 2;
    int result = socks5_associate(argv[1], 10000, &a);
    if (result < 0) {
        fprintf(stderr, "query: %s\n", strerror(-result));
        return 1;
    }
    size_t len = build_query(question, argv[4]);
    ssize_t n = -1;
    for (int tries = 0; n < 0 && tries < 3; tries++) { /* datagrams can be lost */
        socks5_association_send(a, argv[2], (uint16_t)atoi(argv[3]), question, len);
        n = socks5_association_recv(a, 3000, answer, sizeof answer, from, sizeof from, &port);
    }
    socks5_association_free(a);
    /* The answer is the last record of the datagram, and its address is the last four octets. */
    if (n < (ssize_t)len + 16 || memcmp(answer, question, 2) != 0 || answer[7] == 0) {
        fprintf(stderr, "query: no answer\n");
        return 1;
    }
    printf("%s, says %s port %u\n", inet_ntop(AF_INET, answer + n - 4, text, sizeof text), from,
           port);
    return 0;
}

/* An object that is loaded in unusual ways. It calls functions of libc by their names. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int plugin_connect(const void *to, unsigned length);
int plugin_send(const void *to, unsigned length);
int plugin_resolve(const void *name, unsigned unused);
unsigned la_version(unsigned version);

int plugin_connect(const void *to, unsigned length)
{
    return connect(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), to, length);
}

int plugin_send(const void *to, unsigned length)
{
    return (int)sendto(socket(AF_INET, SOCK_DGRAM, 0), "way", 4, 0, to, length);
}

int plugin_resolve(const void *name, unsigned unused)
{
    struct addrinfo *found;
    (void)unused;
    return getaddrinfo(name, NULL, NULL, &found) == 0 ? 0 : -1;
}

/* What an auditor of the loader needs. */
unsigned la_version(unsigned version)
{
    return version;
}

/* Sends if WAYS_TOKEN is set. */
__attribute__((constructor)) static void send_in_constructor(void)
{
    const char *token = getenv("WAYS_TOKEN");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7)};
    if (!token)
        return;
    to.sin_addr.s_addr = htonl(0x0a630000U | (unsigned)atoi(token));
    sendto(socket(AF_INET, SOCK_DGRAM, 0), token, strlen(token), 0, (struct sockaddr *)&to,
           sizeof to);
}

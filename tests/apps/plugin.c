/* A plug-in for load_plugin.c: connects to a name or an address, with functions that it finds itself. */
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

extern int plugin_read_banner(const char *host, const char *port);

/* Prints what the service says first. Returns 0, or a positive number that tells which call failed. */
int plugin_read_banner(const char *host, const char *port)
{
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
    char said[128];
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return 1;
    int fd = socket(found->ai_family, SOCK_STREAM, 0);
    int failed = connect(fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (failed)
        return 2;
    ssize_t n = read(fd, said, sizeof said);
    close(fd);
    if (n <= 0)
        return 3;
    return write(1, said, (size_t)n) == n ? 0 : 4; /* the plug-in may have a stdout of its own */
}

/* A static program: static TOKEN [HOW] sends one datagram to the target of TOKEN. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7)};
    if (argc < 2)
        return 64;
    to.sin_addr.s_addr = htonl(0x0a630000U | (unsigned)atoi(argv[argc - 1]));
    sendto(socket(AF_INET, SOCK_DGRAM, 0), "way", 4, 0, (struct sockaddr *)&to, sizeof to);
    return 0;
}

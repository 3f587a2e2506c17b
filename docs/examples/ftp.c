/* Receives a connection with BIND, as active FTP does: ftp SERVER-URL HOST PORT FILE
 *
 * The SOCKS server listens on an address. The program sends that address to the FTP server (EPRT), and the FTP
 * server connects to it and sends the file. */
#include <socks5client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Sends a command, unless TEXT is NULL, and reads the reply. Returns its code, or -1. */
static int send_command(FILE *control, const char *text)
{
    char line[1024];
    if (text)
        dprintf(fileno(control), "%s\r\n", text);
    do
        if (!fgets(line, sizeof line, control))
            return -1;
    while (strlen(line) < 4 || line[3] != ' ');
    return atoi(line);
}

int main(int argc, char **argv)
{
    char text[1024], host[256], buf[4096];
    uint16_t port;
    struct socks5_listener *listener;
    if (argc != 5)
        return 2;
    int fd = socks5_connect(argv[1], argv[2], (uint16_t)atoi(argv[3]), 10000);
    FILE *control = fd < 0 ? NULL : fdopen(fd, "r");
    if (!control || send_command(control, NULL) != 220)
        return 1;
    if (send_command(control, "USER anonymous") == 331)
        send_command(control, "PASS guest@example.org");
    send_command(control, "TYPE I");

    /* The first reply has the address on which the SOCKS server listens. */
    int result = socks5_listen(argv[1], argv[2], 0, 10000, &listener);
    if (result < 0) {
        fprintf(stderr, "ftp: %s\n", strerror(-result));
        return 1;
    }
    socks5_listener_name(listener, host, sizeof host, &port);
    snprintf(text, sizeof text, "EPRT |%d|%s|%u|", strchr(host, ':') ? 2 : 1, host, port);
    if (send_command(control, text) != 200)
        return 1;
    snprintf(text, sizeof text, "RETR %s", argv[4]);
    if (send_command(control, text) != 150)
        return 1;
    /* The second reply has the address of the peer that connected. */
    int data = socks5_accept(listener, 10000, host, sizeof host, &port);
    if (data < 0)
        return 1;
    ssize_t n;
    while ((n = read(data, buf, sizeof buf)) > 0)
        fwrite(buf, 1, (size_t)n, stdout);
    close(data);
    socks5_listener_free(listener);
    return send_command(control, "QUIT") != 226;
}

/* A process listens briefly, many times. Each time it forks a child that exits at once. This happens more often
 * than there can be listeners at a time. */
#include "app.h"

int main(int argc, char **argv)
{
    struct peer p = peer_from(argc, argv);
    struct sockaddr_in own = {.sin_family = AF_INET};
    close(tcp_connect(&p));
    inet_pton(AF_INET, "10.88.1.1", &own.sin_addr);
    for (int i = 0; i < 300; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0 || listen(fd, 5) != 0)
            FAIL("listening, time %d", i);
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        child_ends(pid);
        close(fd);
    }
    return 0;
}

/* 200 threads, each with a blocking connect and an echo of its own text. */
#include "app.h"
#include <pthread.h>

static struct peer p;

static void *run_thread(void *number)
{
    char text[32];
    snprintf(text, sizeof(text), "thread %d", (int)(intptr_t)number);
    int fd = tcp_connect(&p);
    check_names(fd, &p);
    echo(fd, text);
    close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[200];
    p = peer_from(argc, argv);
    for (int i = 0; i < 200; i++)
        CHECK(pthread_create(&threads[i], NULL, run_thread, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < 200; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}

/* Eight processes of eight threads look up the same names concurrently. All must get the same addresses. */
#include "app.h"
#include <netdb.h>
#include <pthread.h>
#include <sys/mman.h>

enum { PROCESSES = 8, THREADS = 8, NAMES = 400 };
static struct in_addr (*seen)[NAMES];

static void *look_up_all(void *number)
{
    unsigned me = (unsigned)(uintptr_t)number;
    for (unsigned i = 0; i < NAMES; i++) {
        unsigned which = me % 2 ? i : NAMES - 1 - i;
        struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
        char name[64];
        snprintf(name, sizeof(name), "host-%u.wild.example", which);
        CHECK(getaddrinfo(name, "80", &hints, &list) == 0);
        seen[me][which] = ((struct sockaddr_in *)(void *)list->ai_addr)->sin_addr;
        freeaddrinfo(list);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    pid_t children[PROCESSES];
    size_t size = sizeof(*seen) * PROCESSES * THREADS;
    seen = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    for (int p = 0; p < PROCESSES; p++) {
        children[p] = fork();
        for (int t = 0; children[p] == 0 && t < THREADS; t++)
            CHECK(pthread_create(&threads[t], NULL, look_up_all, (void *)(intptr_t)(p * THREADS + t)) == 0);
        for (int t = 0; children[p] == 0 && t < THREADS; t++)
            CHECK(pthread_join(threads[t], NULL) == 0);
        if (children[p] == 0)
            _exit(0);
    }
    for (int p = 0; p < PROCESSES; p++)
        child_ends(children[p]);
    for (unsigned i = 0; i < NAMES; i++)
        for (int thread = 0; thread < PROCESSES * THREADS; thread++)
            CHECK(seen[thread][i].s_addr && seen[thread][i].s_addr == seen[0][i].s_addr);
    for (unsigned i = 1; i < NAMES; i++)
        CHECK(seen[0][i].s_addr != seen[0][i - 1].s_addr);
    return 0;
}

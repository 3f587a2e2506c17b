/* epoll always reports hang-ups and errors. A watch in such a state would be reported forever while its owner cannot
 * read. It is therefore removed from the epoll instance, and its owner tries to read whenever it has space again. */
#include "loop.h"
#include "clock.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define BATCH 256

static struct {
    int ep;
    int64_t now;
    struct epoll_event events[BATCH];
    int n, at;       /* fetched events, and the index of the current one */
    void **disposed; /* freed before the next wait */
    size_t n_disposed, disposed_capacity;
} loop = {.ep = -1};

static void read_clock(void)
{
    loop.now = (int64_t)(s5_clock_now() / (S5_CLOCK_SECOND / 1000));
}

int loop_begin(void)
{
    loop.ep = epoll_create1(EPOLL_CLOEXEC);
    read_clock();
    return loop.ep < 0 ? -errno : 0;
}

int64_t loop_now(void)
{
    return loop.now;
}

int loop_set_events(struct watch *w, uint32_t events)
{
    if (w->fd < 0 || w->over || (w->added && w->events == events))
        return 0;
    struct epoll_event event = {.events = events, .data.ptr = w};
    if (epoll_ctl(loop.ep, w->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &event) < 0)
        return -errno;
    w->added = true;
    w->events = events;
    return 0;
}

void loop_close(struct watch *w)
{
    if (w->fd < 0)
        return;
    for (int i = loop.at + 1; i < loop.n; i++)
        if (loop.events[i].data.ptr == w)
            loop.events[i].data.ptr = NULL;
    if (w->added && !w->over)
        epoll_ctl(loop.ep, EPOLL_CTL_DEL, w->fd, NULL);
    close(w->fd);
    w->fd = -1;
    w->added = w->over = false;
    w->events = 0;
}

void loop_dispose(void *memory)
{
    if (loop.n_disposed == loop.disposed_capacity) {
        size_t capacity = loop.disposed_capacity ? 2 * loop.disposed_capacity : 64;
        void **more = realloc(loop.disposed, capacity * sizeof *more);
        if (!more)
            return; /* a leak is better than a use after free */
        loop.disposed = more;
        loop.disposed_capacity = capacity;
    }
    loop.disposed[loop.n_disposed++] = memory;
}

static void call_watch(struct watch *w, uint32_t ready)
{
    if (ready & (EPOLLERR | EPOLLHUP) && !w->lasting) {
        epoll_ctl(loop.ep, EPOLL_CTL_DEL, w->fd, NULL);
        w->over = true;
    }
    w->ready(w, ready);
}

void loop_run_once(int ms)
{
    loop.n = epoll_wait(loop.ep, loop.events, BATCH, ms);
    read_clock();
    for (loop.at = 0; loop.at < loop.n; loop.at++) {
        struct watch *w = loop.events[loop.at].data.ptr;
        if (w)
            call_watch(w, loop.events[loop.at].events);
    }
    loop.n = loop.at = 0;
    while (loop.n_disposed)
        free(loop.disposed[--loop.n_disposed]);
}

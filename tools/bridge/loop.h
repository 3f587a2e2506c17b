/* The one event loop: descriptors and who is called when they are ready, level-triggered. */
#ifndef BRIDGE_LOOP_H
#define BRIDGE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* Part of what owns the descriptor; zero but for fd -1 while it watches nothing. */
struct watch {
    int fd;          /* owned; -1: none */
    uint32_t events; /* EPOLLIN, EPOLLOUT asked for */
    bool added;      /* it is in the epoll instance */
    bool over;       /* hung up or in error: it is out of it for good, and always ready */
    bool lasting;    /* errors are not its end: datagrams */
    /* READY holds EPOLL* of what happened. May close any watch, and free its owner by
     * loop_dispose() alone. */
    void (*ready)(struct watch *watch, uint32_t ready);
};

/* 0, or -errno. */
int loop_begin(void);

/* Ask for EVENTS of W from now on. A hung-up one is left alone. 0, or -errno. */
int loop_want(struct watch *w, uint32_t events);

/* W's descriptor is closed and watched no more. */
void loop_close(struct watch *w);

/* free() MEMORY once no event already fetched can name it. */
void loop_dispose(void *memory);

/* Milliseconds, monotonic, as of the last wait. */
int64_t loop_now(void);

/* Wait for events MS at the most (-1: for ever) and call their owners. */
void loop_turn(int ms);

#endif

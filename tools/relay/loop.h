/* The event loop: descriptors, and the functions to call when they are ready. Level-triggered. */
#ifndef TOOLS_LOOP_H
#define TOOLS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

/* A watched descriptor, part of the structure that owns it. All zero except fd, which is -1, while it watches
 * nothing. */
struct watch {
    int fd;          /* owned; -1: none */
    uint32_t events; /* requested: EPOLLIN, EPOLLOUT */
    bool added;      /* it is in the epoll instance */
    bool over;       /* hung up or in error: removed from the epoll instance for good, and always ready */
    bool lasting;    /* errors do not end it: datagram sockets */
    /* READY has the EPOLL* events that occurred. The function may close any watch. It may free the owner of a watch
     * only by loop_dispose(). */
    void (*ready)(struct watch *watch, uint32_t ready);
};

/* Creates the loop. Returns 0, or -errno. */
int loop_begin(void);

/* Requests EVENTS of W from now on. Does nothing if W is closed or over. Returns 0, or -errno. */
int loop_set_events(struct watch *w, uint32_t events);

/* Closes W's descriptor and stops watching it. */
void loop_close(struct watch *w);

/* Calls free() on MEMORY after the events that are already fetched. */
void loop_dispose(void *memory);

/* Returns the monotonic time of the last wait, in ms. */
int64_t loop_now(void);

/* Waits for events for at most MS ms (-1: without limit) and calls the functions of their watches. */
void loop_run_once(int ms);

#endif

/* The NFQUEUE of the namespace: packets that wait for a verdict. */
#ifndef TOOLS_QUEUE_H
#define TOOLS_QUEUE_H

#include "packet.h"

/* Begins to receive packets on the netlink socket FD, which it owns from then on. TAKE is called for each packet, with
 * the number that queue_accept() and queue_drop() take. Returns 0, or -errno. */
int queue_begin(int fd, void (*take)(uint32_t id, const struct packet *p));

/* Takes the packets that have come, without waiting for the loop. */
void queue_read(void);

/* The verdict on packet ID: it goes on, with MARK (0: none), or it is dropped. */
void queue_accept(uint32_t id, uint32_t mark);
void queue_drop(uint32_t id);

#endif

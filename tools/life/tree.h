/* The commands of the namespace, and the way of further ones into it. */
#ifndef TOOLS_TREE_H
#define TOOLS_TREE_H

#include "handover.h"
#include <stdbool.h>

/* Receives the first message on CHANNEL into RET, whose descriptors the caller owns. Returns 0, or -errno. */
int tree_receive(int channel, struct handover *ret);

/* Begins to watch the first command, whose marker H has, and to accept others. Keeps the descriptors of the namespaces.
 * Returns 0, or -errno. */
int tree_begin(struct handover *h);

/* Answers on CHANNEL and closes it. */
void tree_answer(int channel, int result);

/* Whether a process of the namespace exists, or a launcher that will become one. */
bool tree_lives(void);

/* Stops to accept commands. Returns false if one has come. */
bool tree_close(void);

#endif

/* The descriptors that flows may have. The rest of the limit is for all else: without any the gateway could not accept
 * the connections that it has promised. */
#ifndef TOOLS_ROOM_H
#define TOOLS_ROOM_H

#include <stdbool.h>

void room_begin(void);

/* Takes room for a flow. Returns false if there is none; then a log line says so, once until half of it is free. */
bool room_take(void);
void room_give(void);

#endif

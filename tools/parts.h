/* Where the other programs of this package are. */
#ifndef TOOLS_PARTS_H
#define TOOLS_PARTS_H

#include <stddef.h>

/* Stores in RET the path of TAIL in the build directory that this program is in, or "" if it is not in one. */
void parts_find_in_build(char *ret, size_t size, const char *tail);

/* The paths of the programs: in the build directory, else where they are installed. Static storage. */
const char *parts_bridge(void);
const char *parts_reach(void);
const char *parts_gateway(void);

#endif

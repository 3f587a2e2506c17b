/* A memory reserve for libconfuse. */
#ifndef S5_CONFIG_MEMORY_H
#define S5_CONFIG_MEMORY_H

#include <stddef.h>

/* Reserves memory, so that allocations of this thread do not fail while a file of LEN octets and SECTIONS sections is
 * read. Returns the reserve, to be released with s5_config_memory_end() afterwards, or NULL: out of memory. */
void *s5_config_memory_begin(size_t len, unsigned sections);
void s5_config_memory_end(void *reserve);

#endif

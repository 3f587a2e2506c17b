/* Memory that libconfuse can count on. */
#ifndef S5_CONFIG_MEMORY_H
#define S5_CONFIG_MEMORY_H

#include <stddef.h>

/* See to it that this thread's allocations do not fail for want of memory while a file of LEN octets
 * is read. What is to be given to s5_config_memory_end after it; NULL: there is too little. */
void *s5_config_memory_begin(size_t len, unsigned sections);
void s5_config_memory_end(void *reserve);

#endif

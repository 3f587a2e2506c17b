/* Preloaded together with an object that is built with AddressSanitizer. -z initfirst makes the loader run this
 * constructor before those of all other libraries. The sanitizer initializes itself at the first allocation, so
 * it is ready before a library of the program can allocate while it holds a lock of libc. */
#include <stdlib.h>

static void *volatile allocated;

__attribute__((constructor)) static void allocate_early(void)
{
    allocated = malloc(1);
    free(allocated);
}

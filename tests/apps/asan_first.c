/* Preloaded beside an object with AddressSanitizer. The loader runs its constructor before those of all
 * other libraries (-z initfirst): the sanitizer, which begins with the first allocation, is then there
 * before a library of the program can allocate while it holds a lock of libc's. */
#include <stdlib.h>

static void *volatile allocated;

__attribute__((constructor)) static void begin(void)
{
    allocated = malloc(1);
    free(allocated);
}

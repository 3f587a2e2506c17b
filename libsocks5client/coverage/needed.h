/* The libraries that an ELF file names. The same conditions as for program.h. */
#ifndef S5_NEEDED_H
#define S5_NEEDED_H

#include "program.h"
#include <link.h>

/* Whether the dynamic section of the open file FD, of N program headers from AT on, names a library whose file name
 * begins with NAME, of 31 octets at most. False where the file is malformed. */
bool s5_needed_has(const struct s5_program_calls *calls, int fd, uint64_t at, size_t n, const char *name);

#endif

/* libconfuse terminates the process when an allocation of its lexer fails. So the memory that it needs is allocated
 * before, in pieces small enough that malloc() takes them from its heap, and freed to the heap. The last piece remains
 * allocated: it is above the others, so malloc() cannot return them to the kernel. */
#include "config_memory.h"
#include <stdlib.h>

#define PIECE   65000 /* below the size from which malloc() uses mmap() */
#define LEXER   65536 /* the lexer's buffers, and what is needed once */
#define SECTION 8192  /* the option table of a section */
#define OCTET   16    /* most octets that one octet of a file needs: lists of short words */

struct piece {
    struct piece *before;
};

static void free_block(struct piece *list)
{
    while (list) {
        struct piece *before = list->before;
        free(list);
        list = before;
    }
}

void *s5_config_memory_begin(size_t len, unsigned sections)
{
    size_t n = LEXER + OCTET * len + (size_t)SECTION * sections;
    struct piece *list = NULL;
    for (size_t have = 0; have < n + PIECE; have += PIECE) {
        struct piece *fresh = malloc(PIECE);
        if (!fresh) {
            free_block(list);
            return NULL;
        }
        fresh->before = list;
        list = fresh;
    }
    free_block(list->before);
    return list;
}

void s5_config_memory_end(void *reserve)
{
    free(reserve);
}

/* libconfuse ends the process where an allocation of its lexer's fails. So what it needs is taken from
 * the kernel before, in pieces that malloc() has on its heap, and given back to the heap. The last
 * piece stays: with it behind them, the others are not given back to the kernel. */
#include "config_memory.h"
#include <stdlib.h>

#define PIECE   65000 /* below the size from which malloc() maps */
#define LEXER   65536 /* its buffers, and what is needed once */
#define SECTION 8192  /* a section's table of options */
#define OCTET   16    /* what an octet of a file becomes at the most: lists of short words */

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

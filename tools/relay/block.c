/* Each block is a mapping of its own, so that its memory returns to the system after a burst of traffic. At most KEPT
 * unused blocks are kept for reuse. */
#include "block.h"
#include <sys/mman.h>

#define KEPT 16

static struct block *kept;
static int n_kept;

struct block *block_take(void)
{
    struct block *b = kept;
    if (b) {
        kept = b->next;
        n_kept--;
    } else {
        b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (b == MAP_FAILED)
            return NULL;
    }
    b->at = b->len = 0;
    b->next = NULL;
    return b;
}

void block_give(struct block *b)
{
    if (!b)
        return;
    if (n_kept == KEPT) {
        munmap(b, sizeof *b);
        return;
    }
    b->next = kept;
    kept = b;
    n_kept++;
}

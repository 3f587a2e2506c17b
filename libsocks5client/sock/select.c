/* select() while something is in flight: as poll.c does it, with sets of bits. The application's
 * three sets are kept aside; the kernel is asked with copies in which descriptors in flight are
 * moved to the set their negotiation needs. */
#include "clock.h"
#include "engine.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define SETS       3
#define WORD_BITS  (8 * (int)sizeof(unsigned long))
#define NEAR_WORDS (FD_SETSIZE / WORD_BITS)

enum { IN, OUT, EX };

struct sets {
    int n;                       /* descriptors, as given to select() */
    size_t words;                /* of each set */
    unsigned long *app[SETS];    /* the application's own, where results go; NULL: not given */
    unsigned long *asked[SETS];  /* what the application asked for */
    unsigned long *kernel[SETS]; /* what the kernel is asked, and answers */
};

static bool has(const unsigned long *set, int fd)
{
    return set[fd / WORD_BITS] >> (fd % WORD_BITS) & 1;
}

static void put(unsigned long *set, int fd, bool on)
{
    unsigned long bit = 1ul << (fd % WORD_BITS);
    set[fd / WORD_BITS] = on ? set[fd / WORD_BITS] | bit : set[fd / WORD_BITS] & ~bit;
}

static bool asked_for(const struct sets *s, int fd)
{
    return has(s->asked[IN], fd) || has(s->asked[OUT], fd) || has(s->asked[EX], fd);
}

static void fill(struct s5_engine *e, struct sets *s)
{
    for (int k = 0; k < SETS; k++)
        memcpy(s->kernel[k], s->asked[k], s->words * sizeof(unsigned long));
    uint32_t top = s5_registry_flying_top(&e->registry);
    for (int fd = 0; top && fd < s->n; fd++) {
        struct s5_record *record = asked_for(s, fd) ? s5_connect_flying(e, fd) : NULL;
        struct s5_flight *f = record ? atomic_load(&record->flight) : NULL;
        if (!f)
            continue;
        short wants = atomic_load(&f->wants);
        put(s->kernel[IN], fd, wants == POLLIN);
        put(s->kernel[OUT], fd, wants == POLLOUT);
        put(s->kernel[EX], fd, false);
    }
}

/* Drives what is in flight and takes it out of the answer. True when a negotiation ended. */
static bool sort_out(struct s5_engine *e, struct sets *s)
{
    bool ended = false;
    for (int fd = 0; fd < s->n; fd++) {
        bool answered = has(s->kernel[IN], fd) || has(s->kernel[OUT], fd);
        struct s5_record *record = answered ? s5_registry_find(&e->registry, fd) : NULL;
        if (record && atomic_load(&record->state) == S5_RECORD_FLYING) {
            ended |= s5_connect_turn(e, record, 0) >= S5_TURN_OVER;
            put(s->kernel[IN], fd, false);
            put(s->kernel[OUT], fd, false);
        }
        put(s->kernel[IN], fd, has(s->kernel[IN], fd) && has(s->asked[IN], fd));
        put(s->kernel[OUT], fd, has(s->kernel[OUT], fd) && has(s->asked[OUT], fd));
    }
    return ended;
}

static int report(const struct sets *s)
{
    int bits = 0;
    for (int k = 0; k < SETS; k++)
        for (size_t w = 0; s->app[k] && w < s->words; w++) {
            s->app[k][w] = s->kernel[k][w];
            bits += __builtin_popcountl(s->kernel[k][w]);
        }
    return bits;
}

static bool any(const struct sets *s)
{
    for (int k = 0; k < SETS; k++)
        for (size_t w = 0; w < s->words; w++)
            if (s->kernel[k][w])
                return true;
    return false;
}

static int wait_on(struct s5_engine *e, struct sets *s, const struct timespec *timeout,
                   const sigset_t *mask)
{
    uint64_t now = s5_clock_now(), until = s5_clock_later(now, timeout);
    for (;;) {
        struct timespec left;
        uint64_t wake = s5_flying_until(e, now + S5_FLIGHT_NAP);
        fill(e, s);
        if (e->real->pselect(s->n, (fd_set *)s->kernel[IN], (fd_set *)s->kernel[OUT],
                             (fd_set *)s->kernel[EX],
                             s5_clock_left(wake < until ? wake : until, now, &left), mask) < 0)
            return -errno;
        bool ended = sort_out(e, s);
        now = s5_clock_now();
        if (any(s) && !ended)
            return report(s);
        s5_flying_expire(e, now);
        if (any(s))
            until = now;
        else if (now >= until && !ended)
            return report(s);
    }
}

int s5_select(struct s5_engine *e, int n, fd_set *in, fd_set *out, fd_set *ex,
              const struct timespec *timeout, const sigset_t *mask)
{
    unsigned long near[2 * SETS * NEAR_WORDS], *at = near;
    if (n < 0 || (unsigned)n > S5_CHUNKS * S5_CHUNK_SLOTS)
        return -EINVAL;
    struct sets s = {.n = n, .words = (size_t)(n + WORD_BITS - 1) / WORD_BITS};
    size_t size = 2 * SETS * s.words * sizeof(unsigned long);
    int saved = errno;
    if (size > sizeof near) {
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            return -ENOMEM;
    }
    s.app[IN] = (unsigned long *)in;
    s.app[OUT] = (unsigned long *)out;
    s.app[EX] = (unsigned long *)ex;
    for (size_t k = 0; k < SETS; k++) {
        s.asked[k] = at + 2 * k * s.words;
        s.kernel[k] = s.asked[k] + s.words;
        if (s.app[k])
            memcpy(s.asked[k], s.app[k], s.words * sizeof(unsigned long));
        else
            memset(s.asked[k], 0, s.words * sizeof(unsigned long));
    }
    int r = wait_on(e, &s, timeout, mask);
    if (at != near)
        munmap(at, size);
    errno = saved;
    return r;
}

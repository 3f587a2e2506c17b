/* poll() while something is in flight: a copy of the set is waited on, in which descriptors in
 * flight ask for what their negotiation needs; what becomes ready of those is driven and not
 * reported. A negotiation that ends gives its descriptor its own mask back, and the set is looked
 * at again. */
#include "clock.h"
#include "engine.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ON_STACK 256

struct turnout {
    int ready;  /* entries to report */
    bool ended; /* a negotiation is over: look again */
};

static void fill(struct s5_engine *e, struct pollfd *copy, const struct pollfd *fds, nfds_t n)
{
    for (nfds_t i = 0; i < n; i++) {
        struct s5_record *record = fds[i].fd < 0 ? NULL : s5_connect_flying(e, fds[i].fd);
        struct s5_flight *f = record ? atomic_load(&record->flight) : NULL;
        copy[i].fd = fds[i].fd;
        copy[i].events = f ? atomic_load(&f->wants) : fds[i].events;
        copy[i].revents = 0;
    }
}

static struct turnout sort_out(struct s5_engine *e, const struct pollfd *copy, struct pollfd *fds,
                               nfds_t n)
{
    struct turnout t = {0, false};
    for (nfds_t i = 0; i < n; i++) {
        struct s5_record *record = NULL;
        if (copy[i].revents)
            record = s5_registry_find(&e->registry, copy[i].fd);
        if (record && atomic_load(&record->state) == S5_RECORD_FLYING) {
            fds[i].revents = 0;
            t.ended |= s5_connect_turn(e, record, copy[i].revents) >= S5_TURN_OVER;
        } else if (copy[i].events != fds[i].events && copy[i].revents) {
            fds[i].revents = 0; /* another thread ended it since */
            t.ended = true;
        } else {
            fds[i].revents = copy[i].revents;
            t.ready += copy[i].revents != 0;
        }
    }
    return t;
}

static int wait_on(struct s5_engine *e, struct pollfd *copy, struct pollfd *fds, nfds_t n,
                   const struct timespec *timeout, const sigset_t *mask)
{
    uint64_t now = s5_clock_now(), until = s5_clock_later(now, timeout);
    for (;;) {
        struct timespec left;
        uint64_t wake = s5_flying_until(e, now + S5_FLIGHT_NAP);
        fill(e, copy, fds, n);
        if (e->real->ppoll(copy, n, s5_clock_left(wake < until ? wake : until, now, &left), mask) <
            0)
            return -errno;
        struct turnout t = sort_out(e, copy, fds, n);
        if (t.ready && !t.ended)
            return t.ready;
        now = s5_clock_now();
        s5_flying_expire(e, now);
        if (t.ready)
            until = now; /* report what is ready now, the one that ended among it */
        else if (now >= until && !t.ended)
            return 0;
    }
}

int s5_poll(struct s5_engine *e, struct pollfd *fds, nfds_t n, const struct timespec *timeout,
            const sigset_t *mask)
{
    struct pollfd near[ON_STACK], *copy = near;
    int saved = errno;
    if (n > ON_STACK) {
        if (n > S5_CHUNKS * S5_CHUNK_SLOTS)
            return -EINVAL;
        copy = mmap(NULL, n * sizeof *copy, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    0);
        if (copy == MAP_FAILED)
            return -ENOMEM;
    }
    int r = wait_on(e, copy, fds, n, timeout, mask);
    if (copy != near)
        munmap(copy, n * sizeof *copy);
    errno = saved;
    return r;
}

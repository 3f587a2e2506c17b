/* poll() and select() where some of the descriptors are listeners at a server: each of those asks
 * through its control connection, and its bell is added behind the program's set. select() is told
 * in terms of poll(), since hidden descriptors are beyond the numbers it knows. */
#include "clock.h"
#include "listener.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define ON_STACK 256

static void refresh(struct s5_engine *e, struct s5_record *record)
{
    struct s5_listener *l = s5_listener_shared(record);
    if (!l || record->more->serial == atomic_load(&l->serial) || !s5_listener_try(e, l))
        return;
    s5_listener_refresh(e, record);
    s5_listener_unlock(l);
}

/* FDS with listeners replaced, bells behind them; the number of all. */
static nfds_t replace(struct s5_engine *e, struct pollfd *copy, const struct pollfd *fds, nfds_t n)
{
    nfds_t all = n;
    for (nfds_t i = 0; i < n; i++) {
        struct s5_record *record = fds[i].fd < 0 ? NULL : s5_registry_find(&e->registry, fds[i].fd);
        copy[i] = (struct pollfd){fds[i].fd, fds[i].events, 0};
        if (!record || atomic_load(&record->state) != S5_RECORD_LISTENING)
            continue;
        refresh(e, record);
        copy[i].fd = record->more->control;
        copy[i].events &= POLLIN | POLLRDNORM;
        copy[all++] = (struct pollfd){record->more->bell, POLLIN, 0};
    }
    return all;
}

/* What to report: their number. A bell that rings is a listener to look at, which accept() does. */
static int report(const struct pollfd *copy, struct pollfd *fds, nfds_t n)
{
    int ready = 0;
    nfds_t bell = n;
    for (nfds_t i = 0; i < n; i++) {
        fds[i].revents = copy[i].revents;
        if (copy[i].fd != fds[i].fd && copy[bell++].revents)
            fds[i].revents |= fds[i].events & (POLLIN | POLLRDNORM);
        ready += fds[i].revents != 0;
    }
    return ready;
}

int s5_wait_poll(struct s5_engine *e, struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                 const sigset_t *mask)
{
    struct pollfd near[ON_STACK], *copy = near;
    if (!atomic_load(&e->registry.listening))
        return s5_poll(e, fds, n, timeout, mask);
    if (n > S5_CHUNKS * S5_CHUNK_SLOTS)
        return -EINVAL;
    if (2 * n > ON_STACK)
        copy = mmap(NULL, 2 * n * sizeof *copy, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return -ENOMEM;
    nfds_t all = replace(e, copy, fds, n);
    int r = s5_poll(e, copy, all, timeout, mask);
    if (r >= 0)
        r = report(copy, fds, n);
    if (copy != near)
        munmap(copy, 2 * n * sizeof *copy);
    return r;
}

/* --- select() --- */

#define IN_ANSWERS  (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define OUT_ANSWERS (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)

static bool has(const fd_set *set, int fd)
{
    const unsigned long *words = (const unsigned long *)set;
    int bits = 8 * (int)sizeof *words;
    return set && words[fd / bits] >> (fd % bits) & 1;
}

static void clear(fd_set *set, int fd)
{
    unsigned long *words = (unsigned long *)set;
    int bits = 8 * (int)sizeof *words;
    if (set)
        words[fd / bits] &= ~(1ul << (fd % bits));
}

static nfds_t gather(struct pollfd *fds, int n, const fd_set *in, const fd_set *out,
                     const fd_set *ex)
{
    nfds_t count = 0;
    for (int fd = 0; fd < n; fd++) {
        int events = (has(in, fd) ? POLLIN : 0) | (has(out, fd) ? POLLOUT : 0) |
                     (has(ex, fd) ? POLLPRI : 0);
        if (events)
            fds[count++] = (struct pollfd){fd, (short)events, 0};
    }
    return count;
}

static int scatter(const struct pollfd *fds, nfds_t count, fd_set *in, fd_set *out, fd_set *ex)
{
    int bits = 0;
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].revents & POLLNVAL)
            return -EBADF;
    for (nfds_t i = 0; i < count; i++) {
        const struct pollfd *p = &fds[i];
        bool readable = p->events & POLLIN && p->revents & IN_ANSWERS;
        bool writable = p->events & POLLOUT && p->revents & OUT_ANSWERS;
        bool urgent = p->events & POLLPRI && p->revents & POLLPRI;
        if (!readable)
            clear(in, p->fd);
        if (!writable)
            clear(out, p->fd);
        if (!urgent)
            clear(ex, p->fd);
        bits += readable + writable + urgent;
    }
    return bits;
}

int s5_wait_select(struct s5_engine *e, int n, fd_set *in, fd_set *out, fd_set *ex,
                   const struct timespec *timeout, const sigset_t *mask)
{
    struct pollfd near[ON_STACK], *fds = near;
    if (!atomic_load(&e->registry.listening))
        return s5_select(e, n, in, out, ex, timeout, mask);
    if (n < 0 || (unsigned)n > S5_CHUNKS * S5_CHUNK_SLOTS)
        return -EINVAL;
    size_t size = (size_t)n * sizeof *fds;
    if (n > ON_STACK)
        fds = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fds == MAP_FAILED)
        return -ENOMEM;
    nfds_t count = gather(fds, n, in, out, ex);
    int r = s5_wait_poll(e, fds, count, timeout, mask);
    if (r >= 0)
        r = scatter(fds, count, in, out, ex);
    if (fds != near)
        munmap(fds, size);
    return r;
}

uint64_t s5_wait_patience(struct s5_engine *e, int fd, int option)
{
    struct s5_timeo own = {0, 0};
    socklen_t len = sizeof own;
    e->real->getsockopt(fd, SOL_SOCKET, option, &own, &len);
    struct timespec ts = {own.tv_sec, own.tv_usec * 1000};
    return own.tv_sec || own.tv_usec ? s5_clock_after(&ts) : S5_CLOCK_NEVER;
}

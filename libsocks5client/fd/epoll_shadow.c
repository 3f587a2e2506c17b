/* epoll and a listener at a server. The listener's own socket listens in the kernel too, but no peer can reach it
 * there, so it is never ready. Each of its registrations therefore has two shadows: one of the control connection and
 * one of the wakeup descriptor, with the same data and with the reading part of the same mask. The kernel then wakes
 * all waiters, including those that wait already.
 *
 * A ready wakeup descriptor looks like a connection that another process has accepted first. */
#include "epoll_shadow.h"
#include "fd_notes.h"
#include "record.h"
#include "registry.h"
#include <errno.h>

#define READING (EPOLLIN | EPOLLRDNORM | EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | (uint32_t)EPOLLWAKEUP)

struct shadow_change {
    struct s5_engine *e;
    int internal, op;
};

static void change_slot_shadows(void *user, int fd, struct s5_slot *slot)
{
    struct shadow_change *p = user;
    struct s5_registration r;
    (void)fd;
    for (unsigned at = 0; s5_registry_registration(&p->e->registry, slot, at, &r); at++) {
        struct epoll_event event = {.events = r.events & READING, .data.u64 = r.data};
        if (r.ep >= 0)
            p->e->real->epoll_ctl(r.ep, p->op, p->internal, &event);
    }
}

static void change_all_shadows(struct s5_engine *e, struct s5_record *record, int internal, int op)
{
    struct shadow_change p = {e, internal, op};
    int saved = errno;
    if (internal >= 0)
        s5_registry_each(&e->registry, record, change_slot_shadows, &p);
    errno = saved;
}

void s5_epoll_shadow_add(struct s5_engine *e, struct s5_record *record, int internal)
{
    change_all_shadows(e, record, internal, EPOLL_CTL_ADD);
}

void s5_epoll_shadow_remove(struct s5_engine *e, struct s5_record *record, int internal)
{
    change_all_shadows(e, record, internal, EPOLL_CTL_DEL);
}

void s5_epoll_shadow_ctl(struct s5_engine *e, int ep, int op, int fd, const struct epoll_event *event)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    if (!record || atomic_load(&record->state) != S5_RECORD_LISTENING)
        return;
    struct epoll_event own = {.events = 0};
    uint32_t serial;
    int saved = errno;
    record->more->shadow_process = atomic_load(&e->pid);
    if (event) {
        own = *event;
        own.events &= READING;
    }
    /* Another thread may be replacing both descriptors. Either it sees this registration, or SERIAL shows the
     * replacement. */
    do {
        serial = record->more->serial;
        int internal[2] = {record->more->control, record->more->wakeup_fd};
        for (int i = 0; i < 2; i++)
            if (internal[i] >= 0)
                e->real->epoll_ctl(ep, op, internal[i], &own);
    } while (serial != record->more->serial);
    errno = saved;
}

/* What a blocking call holds: where it is recorded, and how it is released when the call is left. */
#include "blocking.h"
#include "fd_ops.h"
#include "fd_record.h"
#include "record.h"
#include "registry.h"
#include <errno.h>
#include <fcntl.h>

#define BEYOND_THE_PROGRAMS 512
#define IN_THE_MAKING       (-2) /* fcntl() makes a duplicate: a handler may jump out of it when one exists already */

int s5_blocking_duplicate(struct s5_engine *e, struct s5_cleanup *call, int fd)
{
    int saved = errno;
    call->fd[0] = IN_THE_MAKING;
    int held = e->real->fcntl(fd, F_DUPFD_CLOEXEC, BEYOND_THE_PROGRAMS);
    call->fd[0] = held < 0 ? -1 : held;
    errno = saved;
    return held < 0 ? fd : held;
}

/* A new socket, unlike a duplicate, cannot be found by a cookie known before. A critical section covers its creation.
 */
int s5_blocking_socket(struct s5_engine *e, struct s5_cleanup *call, int family, int type)
{
    struct s5_critical critical;
    s5_critical_begin(&critical);
    int fd = e->real->socket(family, type, 0), error = errno;
    if (fd >= 0) {
        call->cookie[1] = s5_fd_cookie(e, fd);
        call->fd[1] = fd;
    }
    s5_critical_end(&critical);
    return fd < 0 ? -error : fd;
}

void s5_blocking_close(struct s5_engine *e, int held)
{
    int saved = errno;
    e->real->close(held);
    errno = saved;
}

/* The program may have closed the descriptor, for example with all above a number, and the number may be in use again.
 */
static void close_noted(struct s5_engine *e, int fd, uint64_t cookie)
{
    if (fd >= 0 && (!cookie || s5_fd_cookie(e, fd) == cookie))
        s5_close_own(e, fd);
}

/* Closes the duplicate of the socket COOKIE that may exist: a descriptor of it that the program did not make. */
static void close_unnoted(struct s5_engine *e, uint64_t cookie)
{
    enum { FAR_ENOUGH = 1024 };
    for (int fd = BEYOND_THE_PROGRAMS; cookie && fd < BEYOND_THE_PROGRAMS + FAR_ENOUGH; fd++)
        if (s5_registry_foreign(&e->registry, fd) && s5_fd_cookie(e, fd) == cookie) {
            s5_close_own(e, fd);
            return;
        }
}

/* Returns the record of this process that has F; NULL: none. */
static struct s5_record *find_negotiation_record(struct s5_engine *e, const struct s5_negotiation *f)
{
    struct s5_record *records = atomic_load(&e->registry.records);
    uint32_t used = atomic_load(&e->registry.records_used);
    for (uint32_t i = 0; records && i < used && i < S5_RECORDS; i++)
        if (atomic_load(&records[i].negotiation) == f && s5_record_refs(&records[i]))
            return &records[i];
    return NULL;
}

/* Whether C, which holds F, has a second reference to it for a record that does not exist yet. */
static bool has_two_references(struct s5_engine *e, const struct s5_cleanup *c, const struct s5_negotiation *f)
{
    return !c->object && c->object_generation && !find_negotiation_record(e, f);
}

/* Releases a record that C's call has made for F and that no descriptor names yet. */
static void end_unnamed_record(struct s5_engine *e, const struct s5_cleanup *c, const struct s5_negotiation *f)
{
    struct s5_record *record = !c->object && c->object_generation ? find_negotiation_record(e, f) : NULL;
    if (record && s5_registry_find(&e->registry, atomic_load(&record->fd)) != record)
        s5_fd_release_record(e, record);
}

/* In the child of a fork. The association's copy belongs to the child already. */
static void take_fork_reference(struct s5_engine *e, struct s5_cleanup *c, struct s5_negotiation *f)
{
    if (!s5_negotiation_hold(e, f, c->negotiation_generation))
        c->ticket = 0;
    else if (has_two_references(e, c, f))
        s5_negotiation_hold(e, f, c->negotiation_generation);
}

void s5_blocking_release(void *user, struct s5_cleanup *c, bool forked)
{
    struct s5_engine *e = user;
    struct s5_negotiation *f = c->negotiation;
    if (forked) {
        if (f)
            take_fork_reference(e, c, f);
        return;
    }
    int saved = errno;
    if (c->fd[0] == IN_THE_MAKING)
        close_unnoted(e, c->cookie[0]);
    for (int i = 0; i < 2; i++)
        close_noted(e, c->fd[i], c->cookie[i]);
    if (f && s5_negotiation_generation(f) == c->negotiation_generation) {
        s5_negotiation_abandon(e, f);
        end_unnamed_record(e, c, f);
        if (has_two_references(e, c, f) && s5_negotiation_own_references(e, f) == 2)
            s5_negotiation_release(e, f);
        s5_negotiation_release(e, f);
    }
    errno = saved;
}

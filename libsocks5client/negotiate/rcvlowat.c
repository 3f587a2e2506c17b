/* Whether a program has ever used the option is recorded once for all processes, in shared memory. A socket may have
 * got its value before a fork or an exec, or through another descriptor. Checking each socket would cost a system call
 * per connection. */
#include "rcvlowat.h"
#include <errno.h>

void s5_rcvlowat_override(struct s5_engine *e, struct s5_negotiation *f, int fd)
{
    int own = 1, one = 1, saved = errno;
    socklen_t len = sizeof own;
    f->rcvlowat = 0;
    if (e->real->getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &own, &len) == 0 && own > 1 &&
        e->real->setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one) == 0)
        f->rcvlowat = own;
    errno = saved;
}

void s5_rcvlowat_restore(struct s5_engine *e, struct s5_negotiation *f, int fd)
{
    int own = f->rcvlowat, saved = errno;
    f->rcvlowat = 0;
    e->real->setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &own, sizeof own);
    errno = saved;
}

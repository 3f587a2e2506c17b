/* Octets of the program can enter a negotiation where no hook sees them: by a system call that the program makes
 * itself, or by a stdio stream, which libc writes. Nothing prevents a program from writing to a connected socket.
 *
 * The kernel counts the octets that the server has acknowledged. A server that answers a message has acknowledged
 * everything before it. A negotiation of several messages is therefore free of the program's octets if the count is
 * right when the last reply has arrived. A single message that was written whole needs no check: octets before it are
 * not SOCKS5 and make the negotiation fail, and octets after it belong to the connection. If a negotiation fails,
 * octets that are still to be sent count as well, since the program may be the cause, and since another attempt would
 * discard them. */
#include "written.h"
#include "negotiation_bounds.h"
#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/ioctl.h>

/* The kernel's struct tcp_info is longer than libc's. Kernels before Linux 4.1 have a shorter one. */
struct counted {
    struct tcp_info info;
    uint64_t rates[2];
    uint64_t acked; /* octets, and one for the SYN */
};
static_assert(offsetof(struct counted, acked) == 120, "as the kernel has it");

bool s5_written_spoilt(struct s5_engine *e, const struct s5_negotiation *f, int fd, bool waiting)
{
    struct counted c;
    int queued = 0, saved = errno;
    socklen_t len = sizeof c;
    if (!atomic_load_explicit(&f->unattended, memory_order_relaxed))
        return false;
    bool known = e->real->getsockopt(fd, IPPROTO_TCP, TCP_INFO, &c, &len) == 0 && len >= sizeof c && c.acked;
    if (known && waiting && e->real->ioctl(fd, SIOCOUTQ, &queued) != 0)
        queued = 0;
    errno = saved;
    if (!known)
        return false;
    bool open = c.info.tcpi_state == TCP_ESTABLISHED || c.info.tcpi_state == TCP_CLOSE_WAIT;
    uint64_t all = c.acked - 1 + (queued > 0 ? (unsigned)queued : 0), fin = !open; /* a FIN counts as an octet */
    if (all <= f->written + fin)
        return false;
    s5_log(&e->log, S5_LOG_ERROR,
           "connection aborted: octets of the program entered the negotiation with server \"%s\" by a call that is not "
           "intercepted",
           s5_negotiation_server_name(e->policy, f));
    return true;
}

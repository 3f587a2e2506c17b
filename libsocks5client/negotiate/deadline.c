/* A thread that waits for a negotiation continues as soon as a packet of the server arrives. If there is something to
 * write, the time since the server's last packet is therefore time in which no thread waited. */
#include "deadline.h"
#include "clock.h"
#include "negotiation_bounds.h"
#include <errno.h>
#include <string.h>

void s5_deadline_ask_tcp(struct s5_engine *e, int fd, struct tcp_info *ret)
{
    socklen_t len = sizeof *ret;
    int saved = errno;
    memset(ret, 0, sizeof *ret);
    e->real->getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret, &len);
    errno = saved;
}

uint64_t s5_deadline_delay(struct s5_engine *e, int fd)
{
    struct tcp_info info;
    s5_deadline_ask_tcp(e, fd, &info);
    return 1000000ull * info.tcpi_last_ack_recv;
}

void s5_deadline_forgive(struct s5_engine *e, struct s5_negotiation *f, uint64_t delay, uint64_t now)
{
    uint64_t most = now + e->policy->servers[s5_negotiation_server(f)].timeout * S5_CLOCK_SECOND;
    uint64_t deadline = f->deadline + delay < most ? f->deadline + delay : most;
    if (deadline > f->deadline)
        f->deadline = deadline;
}

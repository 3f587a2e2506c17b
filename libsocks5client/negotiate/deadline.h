/* The deadline of a negotiation. There is one for the connection to the server and all its replies together. */
#ifndef S5_DEADLINE_H
#define S5_DEADLINE_H

#include "engine.h"
#include <netinet/tcp.h>

/* Stores the TCP_INFO of FD in *RET; zeros if there is none. Preserves errno. */
void s5_deadline_ask_tcp(struct s5_engine *e, int fd, struct tcp_info *ret);

/* The deadline counts only the time of the server. delay: returns the time (ns) that the server of FD has been waiting
 * for this side. forgive: adds this DELAY, which the program let pass without waiting, to the deadline of F, up to the
 * server's timeout after NOW (ns). */
uint64_t s5_deadline_delay(struct s5_engine *e, int fd);
void s5_deadline_forgive(struct s5_engine *e, struct s5_negotiation *f, uint64_t delay, uint64_t now);

#endif

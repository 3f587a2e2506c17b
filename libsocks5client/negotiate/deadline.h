/* A negotiation has one deadline, for reaching the server and for all that it says. */
#ifndef S5_DEADLINE_H
#define S5_DEADLINE_H

#include "engine.h"
#include <netinet/tcp.h>

/* TCP_INFO of FD; zeros where there is none. */
void s5_deadline_ask_tcp(struct s5_engine *e, int fd, struct tcp_info *ret);

/* How long (ns) the server of FD has been waiting for us. The deadline counts the server's time: what the
 * program let pass without waiting is forgiven when it goes on. */
uint64_t s5_deadline_delay(struct s5_engine *e, int fd);
void s5_deadline_forgive(struct s5_engine *e, struct s5_negotiation *f, uint64_t delay, uint64_t now);

#endif

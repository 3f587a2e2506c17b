/* Common code of the blocking functions: connects to a server and carries out the negotiation. */
#ifndef S5_API_DIAL_H
#define S5_API_DIAL_H

#include "gss_link.h"
#include <stdint.h>

/* Connects to the server of URL and negotiates COMMAND for HOST and PORT, to the end of the negotiation or to the first
 * reply of BIND. HOST may be NULL except for CONNECT. TIMEOUT_MS is as for s5_dial_until(). Returns a non-blocking
 * descriptor, which the caller owns, or -errno. RET is the link of the negotiation; the caller must wipe its session in
 * any case. */
int s5_dial(const char *url, enum s5_command command, const char *host, uint16_t port, int timeout_ms,
            struct s5_gss_link *ret);

/* Returns the time TIMEOUT_MS from now (ns, as s5_clock_now()). Below 0: 30 seconds. */
uint64_t s5_dial_until(int timeout_ms);

/* Makes FD blocking. Returns 0 or -errno. */
int s5_dial_block(int fd);

/* Writes ADDR as text to HOST, which has SIZE octets, and its port to *RET_PORT. Returns the length without the NUL, or
 * -ENOSPC. */
int s5_dial_text(const struct s5_addr *addr, char *host, size_t size, uint16_t *ret_port);

#endif

/* What the blocking functions have in common: reaching a server and negotiating there. */
#ifndef S5_API_DIAL_H
#define S5_API_DIAL_H

#include "gss_link.h"
#include <stdint.h>

/* To the server of URL, and through the negotiation as far as it goes by itself: to its end, or to
 * the first of BIND's replies. A non-blocking descriptor, RET being what it came to; -errno. RET is the
 * caller's to wipe in any case. */
int s5_dial(const char *url, enum s5_command command, const char *host, uint16_t port, int timeout_ms,
            struct s5_gss_link *ret);

/* The point TIMEOUT_MS from now (ns, s5_clock_now); below 0: as for the functions of the interface. */
uint64_t s5_dial_until(int timeout_ms);

/* FD waits from now on. 0, or -errno. */
int s5_dial_block(int fd);

/* ADDR as text into HOST of SIZE octets, its port into *RET_PORT: the octets before the NUL, or
 * -ENOSPC (session_api.c). */
int s5_dial_text(const struct s5_addr *addr, char *host, size_t size, uint16_t *ret_port);

#endif

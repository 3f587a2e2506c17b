/* What a command must not take into its namespaces: sockets of the network outside, and calls that no network namespace
 * concerns. */
#ifndef TOOLS_LEAVING_H
#define TOOLS_LEAVING_H

#include <stdbool.h>

/* Replaces inherited sockets of the network outside by /dev/null, and reports each with REPORT. Those stay that can
 * send to nobody but their peer: connected streams, and listeners; if STRICT none stays. Returns 0, or -errno. */
int leaving_close_sockets(bool strict, void (*report)(int fd, const char *what));

/* Installs a filter against sockets of families that network namespaces do not separate (AF_VSOCK and others). STRICT:
 * also against io_uring, which no filter sees the sockets of. Gives up the right to gain privileges by exec where the
 * process may not install it otherwise. Returns 0, or -errno. */
int leaving_install_filter(bool strict);

#endif

/* Included before the files of tools/relay: their descriptors may be sockets that the engine connects. The header of
 * the drop-in functions would begin the engine before main(), when the shared state has not been received yet. */
#ifndef TOOLS_ENGINE_CALLS_H
#define TOOLS_ENGINE_CALLS_H

#include <features.h>
#define SOCKS5CLIENT_NO_MACROS
#include "socks5client/socks.h"

#define close      Rclose
#define epoll_ctl  Repoll_ctl
#define epoll_wait Repoll_wait
#define ioctl      Rioctl
#define recv       Rrecv
#define send       Rsend
#define setsockopt Rsetsockopt
#define shutdown   Rshutdown

#endif

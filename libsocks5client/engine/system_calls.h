/* The table of real calls. The engine uses it instead of libc's functions, which the hooks replace. */
#ifndef S5_SYSTEM_CALLS_H
#define S5_SYSTEM_CALLS_H

#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

/* Each member behaves like the libc function of that name, including its result and errno. */
struct s5_calls {
#define S5_CALL(ret, name, params, args) ret(*name) params;
#include "system_calls.def"
};

#endif

/* Waiting with a deadline, for the blocking functions. */
#ifndef S5_API_AWAIT_H
#define S5_API_AWAIT_H

#include <stdint.h>

/* Monotonic, in milliseconds. */
int64_t s5_api_now(void);

/* 0 once FD is ready for EVENTS or in error, -ETIMEDOUT at the point UNTIL, else -errno. A signal
 * does not end it. */
int s5_api_await(int fd, short events, int64_t until);

#endif

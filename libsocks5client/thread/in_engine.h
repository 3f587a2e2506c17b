/* A stretch in which nothing of the program's happens in this thread. */
#ifndef S5_IN_ENGINE_H
#define S5_IN_ENGINE_H

#include "critical.h"
#include <signal.h>
#include <stddef.h>

struct s5_in_engine_section {
    struct s5_critical critical;
};

/* A critical section in which calls made are the engine's own (s5_in_engine). */
void s5_in_engine_begin(struct s5_in_engine_section *ret);
void s5_in_engine_end(const struct s5_in_engine_section *quiet);

/* write(), past any hook. A pipe that nobody reads and a file that reaches RLIMIT_FSIZE make the call fail: no
 * SIGPIPE or SIGXFSZ comes of it, of which the program knows nothing. Preserves errno. */
void s5_in_engine_write(int fd, const void *buf, size_t n);

/* Whether this thread is inside the engine's own set-up (reading the policy, resolving a server's
 * name): calls it makes meanwhile are its own and go to libc. It is so in critical sections alone (quiet.h): no
 * handler of the program finds it set, and none leaves it set by a jump. */
extern __thread int s5_in_engine __attribute__((tls_model("initial-exec")));

#endif

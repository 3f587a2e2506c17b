/* Sections in which this thread runs nothing of the program. */
#ifndef S5_IN_ENGINE_H
#define S5_IN_ENGINE_H

#include "critical.h"
#include <signal.h>
#include <stddef.h>

struct s5_in_engine_section {
    struct s5_critical critical;
};

/* A critical section in which the calls of this thread are the engine's own (s5_in_engine). */
void s5_in_engine_begin(struct s5_in_engine_section *ret);
void s5_in_engine_end(const struct s5_in_engine_section *section);

/* Writes N octets at BUF to FD, past any hook. A pipe without a reader and a file that reaches RLIMIT_FSIZE make it
 * fail without SIGPIPE or SIGXFSZ, which the program would not expect. Preserves errno. */
void s5_in_engine_write(int fd, const void *buf, size_t n);

/* Nonzero while this thread runs the engine's own set-up (reading the policy, resolving a server's name): its calls are
 * the engine's own and go to libc. It is set in critical sections only (critical.h): no handler of the program finds it
 * set, and no jump leaves it set. */
extern __thread int s5_in_engine __attribute__((tls_model("initial-exec")));

#endif

/* Where everything went, counted by all processes of a tree together. */
#ifndef S5_STATS_H
#define S5_STATS_H

#include "policy.h"
#include <stdatomic.h>

#define S5_STATS_REPS 9 /* 1 to 8; any other in place 0 */

struct s5_server_stats {
    _Atomic uint32_t connected;
    _Atomic uint32_t failed[S5_STATS_REPS];             /* by REP */
    _Atomic uint32_t unanswered;                        /* failed without a reply */
    _Atomic uint32_t unreachable;                       /* the server itself was not reached */
    _Atomic uint32_t listeners, listeners_failed;       /* BIND */
    _Atomic uint32_t associations, associations_failed; /* UDP ASSOCIATE */
};

struct s5_stats {
    _Atomic uint32_t direct; /* TCP connections that no server had to do with */
    _Atomic uint32_t denied; /* flows of any kind */
    struct s5_server_stats servers[S5_POLICY_SERVERS];
};

#endif

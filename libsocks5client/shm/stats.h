/* Statistics of connections, counted by all processes of a tree together. */
#ifndef S5_STATS_H
#define S5_STATS_H

#include "policy.h"
#include <stdatomic.h>

#define S5_STATS_REPS 9 /* REP 1 to 8; all others are counted at index 0 */

struct s5_server_stats {
    _Atomic uint32_t connected;
    _Atomic uint32_t failed[S5_STATS_REPS];             /* by REP */
    _Atomic uint32_t unanswered;                        /* failed without a reply */
    _Atomic uint32_t unreachable;                       /* the server itself was not reached */
    _Atomic uint32_t passed_over;                       /* flows that went on to the next server of their rule */
    _Atomic uint32_t listeners, listeners_failed;       /* BIND */
    _Atomic uint32_t associations, associations_failed; /* UDP ASSOCIATE */
};

struct s5_stats {
    _Atomic uint32_t direct; /* TCP connections without a server */
    _Atomic uint32_t denied; /* flows of any kind that the policy denied */
    struct s5_server_stats servers[S5_POLICY_SERVERS];
};

#endif

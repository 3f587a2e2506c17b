/* Connections through several servers, one behind the other: which ones, and what each of them is told.
 *
 * On the connection to the first hop the second one is requested, on the connection to that one the third, and so on.
 * The session of the negotiation is with one hop at a time. What is known of a server, that it accepts a pipelined
 * negotiation, holds for it as a hop, too: the messages for the next hop may then follow at once, so that all hops
 * together cost the round trips of one. */
#ifndef S5_CHAIN_H
#define S5_CHAIN_H

#include "engine.h"
#include "negotiation_bounds.h"

/* Begins the way of F, whose server is the chain CHAIN, to DST. F->server, which is set, is replaced by an address of
 * the first hop for a socket of the same family. Returns 0, or -errno, logged: there are too few servers. */
int s5_chain_begin(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *chain,
                   const struct s5_addr *dst);

/* Chooses the hops again, after s5_chain_failed(). Returns 0, or -EHOSTUNREACH: too few are left. */
int s5_chain_choose(struct s5_engine *e, struct s5_negotiation *f);

/* The session with hop number AT of F is over without success, or did not begin. Stores in *RET_DEAD the hop that is
 * the cause; -1: it is none of them, but the destination. Returns what is wrong with it. */
const char *s5_chain_judge(const struct s5_negotiation *f, int error, int *ret_dead);

/* Returns how many attempts through other hops may follow, with a limit. */
unsigned s5_chain_spare(const struct s5_engine *e, const struct s5_negotiation *f);

/* Returns true if enough servers are left for another attempt. */
bool s5_chain_has_other_hops(const struct s5_engine *e, const struct s5_negotiation *f);

/* Reports that hop number AT of F has failed, or worked. */
void s5_chain_failed(struct s5_engine *e, struct s5_negotiation *f, unsigned at);
void s5_chain_worked(struct s5_engine *e, const struct s5_negotiation *f, unsigned at);

/* How a hop is talked to. */
struct s5_hop {
    const struct s5_server *server;
    uint64_t key;  /* in the server cache */
    bool pipeline; /* all messages are written at once */
    bool probing;  /* the same, and it is not known whether the hop supports it */
    bool again;    /* one by one, because a pipelined attempt failed */
    bool certain;  /* they are its whole negotiation, and known to be understood: others may follow */
};
void s5_chain_hop(struct s5_engine *e, const struct s5_negotiation *f, unsigned at, struct s5_hop *ret);

/* Stores in *RET what hop number AT of F is requested to connect to: the next hop, or the destination. */
void s5_chain_destination(const struct s5_engine *e, const struct s5_negotiation *f, unsigned at, struct s5_addr *ret);

/* Returns true if the messages of the hop after number AT can be written at once after those of hop AT, which were
 * written at once, too, or follow the answers of the hops before it. */
bool s5_chain_goes_ahead(struct s5_engine *e, const struct s5_negotiation *f, unsigned at);

/* Returns the name of hop number AT of F, for log lines. */
const char *s5_chain_hop_name(const struct s5_engine *e, const struct s5_negotiation *f, unsigned at);

#endif

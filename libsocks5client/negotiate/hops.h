/* A negotiation that goes through the servers of a chain, one session after the other on the same connection. */
#ifndef S5_HOPS_H
#define S5_HOPS_H

#include "engine.h"
#include "negotiation.h"

/* Begins F, whose server is CHAIN, with its first hop. 0 or -errno. */
int s5_hops_begin(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *chain,
                  const struct s5_addr *dst) __attribute__((noinline, cold));

/* The same again, because the hop that F was at needs one message at a time. */
int s5_hops_restart(struct s5_engine *e, struct s5_negotiation *f) __attribute__((noinline, cold));

/* The hop that F was at is connected to the next one: starts the session with that. 0 or -errno. */
int s5_hops_next(struct s5_engine *e, struct s5_negotiation *f);

/* As s5_exchange_write(). What can follow for the next hops is written at once. */
ssize_t s5_hops_write(struct s5_engine *e, struct s5_negotiation *f, int fd, bool *ret_all)
    __attribute__((noinline, cold));

/* Begins F again with the hops that are left. 0 or -errno. */
int s5_hops_choose_again(struct s5_engine *e, struct s5_negotiation *f);

/* Returns until when (ns) an attempt of F may take: a share of the time, if there are other hops to try. */
uint64_t s5_hops_deadline(const struct s5_engine *e, const struct s5_negotiation *f);

#endif

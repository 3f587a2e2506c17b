/* If a hop fails, a chain of a mode other than "strict" begins again without it. */
#include "other_hops.h"
#include "attempt.h"
#include "chain.h"
#include "clock.h"
#include "hops.h"
#include "written.h"

static void log_dead_hop(struct s5_engine *e, const struct s5_negotiation *f, unsigned dead, const char *why)
{
    const char *chain = s5_negotiation_server_name(e->policy, f), *name = s5_chain_hop_name(e, f, dead);
    bool strict = e->policy->servers[s5_negotiation_server(f)].chain_mode == S5_CHAIN_STRICT;
    enum s5_log_level level = strict ? S5_LOG_ERROR : S5_LOG_WARNING;
    if (dead > 0)
        s5_log(&e->log, level, "chain \"%s\": server \"%s\", reached through \"%s\": %s", chain, name,
               s5_chain_hop_name(e, f, dead - 1), why);
    else
        s5_log(&e->log, level, "chain \"%s\": server \"%s\": %s", chain, name, why);
}

bool s5_other_hops_try(struct s5_engine *e, struct s5_negotiation *f, int fd, int *error)
{
    do {
        int dead;
        const char *why = s5_chain_judge(f, *error, &dead);
        if (dead < 0)
            return false;
        s5_chain_failed(e, f, (unsigned)dead);
        log_dead_hop(e, f, (unsigned)dead, why);
        if (s5_clock_now() >= f->chain.until || !s5_chain_has_other_hops(e, f) ||
            (atomic_load(&f->phase) == S5_NEGOTIATION_TALKING && s5_written_spoilt(e, f, fd, true)))
            return false;
        s5_negotiation_disconnect(e, f, fd);
        if (s5_hops_choose_again(e, f) < 0) /* for example, none that is left has an address here */
            return false;
        *error = s5_negotiation_connect_again(e, f, fd);
    } while (*error < 0);
    return true;
}

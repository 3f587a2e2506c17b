/* The entry of a chain has what a connection to its first server needs, so that callers need not know that it is a
 * chain. Its isolation is that of all its servers together: one identity is chosen for a connection, and each server
 * that is isolated gets it. */
#include "chains.h"
#include <errno.h>
#include <string.h>

#define GSSAPI 1 /* method number of RFC 1928 */

static const char *find_fault(const struct s5_server *hop)
{
    if (hop->is_path)
        return "a UNIX socket cannot be in a chain";
    if (memchr(hop->methods, GSSAPI, hop->n_methods))
        return "a server with the method gssapi cannot be in a chain";
    return NULL;
}

/* Gives CHAIN the addresses of its first server or, if not all servers are used, of the first that has some. */
static void copy_addresses(const struct s5_policy *p, struct s5_server *chain)
{
    for (unsigned i = 0; i < s5_policy_first_hops(chain) && !chain->n_addrs; i++) {
        const struct s5_server *hop = &p->servers[p->vias[chain->hops_first + i]];
        memcpy(chain->addrs, hop->addrs, sizeof chain->addrs);
        chain->port = hop->port;
        chain->n_addrs = hop->n_addrs;
    }
}

static int complete_chain(struct s5_policy *p, struct s5_server *chain, struct s5_fault *ret_fault)
{
    uint16_t longest = 0;
    for (unsigned i = 0; i < chain->n_hops; i++) {
        const struct s5_server *hop = &p->servers[p->vias[chain->hops_first + i]];
        const char *wrong = find_fault(hop);
        if (wrong)
            return s5_fault_set(ret_fault, -EINVAL, "%s: chain \"%s\": server \"%s\": %s", s5_policy_text(p, p->source),
                                s5_policy_text(p, chain->name), s5_policy_text(p, hop->name), wrong);
        chain->isolate |= hop->isolate;
        longest = hop->timeout > longest ? hop->timeout : longest;
    }
    if (!chain->timeout)
        chain->timeout = longest;
    copy_addresses(p, chain);
    return 0;
}

int s5_chains_complete(struct s5_policy *p, struct s5_fault *ret_fault)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < p->n_servers; i++)
        if (p->servers[i].n_hops)
            r = complete_chain(p, &p->servers[i], ret_fault);
    return r;
}

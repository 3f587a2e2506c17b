/* Theory of operation: a hop's messages depend on nothing that another hop answers. If the hops before it are known to
 * forward whatever follows their request, its messages are written at once after theirs. The session in F is with the
 * hop whose answers are awaited. The sessions with the hops after it exist only while their messages are written. They
 * are made again later, in the same way, with everything marked as written. */
#include "hops.h"
#include "chain.h"
#include "clock.h"
#include "exchange.h"
#include "identity.h"
#include "start_session.h"
#include <errno.h>

/* --- sessions --- */

/* Starts the session RET with hop number AT of F. */
static int start_session(struct s5_engine *e, struct s5_negotiation *f, unsigned at, const struct s5_hop *hop,
                         struct s5_session *ret)
{
    struct s5_addr dst;
    enum s5_command command = at + 1 < f->chain.n ? S5_CONNECT : (enum s5_command)f->command;
    s5_chain_destination(e, f, at, &dst);
    int r = s5_start_session(ret, f, hop->server, command, &dst, hop->pipeline);
    if (r == -EINVAL)
        s5_log(&e->log, S5_LOG_ERROR, "refused: server \"%s\" has no method that this program can use",
               s5_chain_hop_name(e, f, at));
    return r == -EINVAL ? -EOPNOTSUPP : r;
}

/* Continues F with hop number AT. */
static int start_hop(struct s5_engine *e, struct s5_negotiation *f, unsigned at)
{
    struct s5_hop hop;
    size_t left = 0;
    bool written = at < f->chain.ahead;
    s5_chain_hop(e, f, at, &hop);
    if (written) {
        hop.pipeline = f->chain.piped & 1u << at % S5_CHAIN_HOPS;
        hop.probing = false;
    }
    f->chain.at = (uint8_t)at;
    f->server_key = hop.key;
    f->probing = hop.probing;
    f->again = hop.again;
    f->probe_until = S5_CLOCK_NEVER;
    if (!hop.again)
        f->probe_waited = 0;
    int r = start_session(e, f, at, &hop, &f->session);
    if (r == 0 && written) {
        s5_session_out(&f->session, &left);
        s5_session_sent(&f->session, left);
    }
    return r;
}

uint64_t s5_hops_deadline(const struct s5_engine *e, const struct s5_negotiation *f)
{
    uint64_t now = s5_clock_now(), left = f->chain.until > now ? f->chain.until - now : 0;
    return now + left / (1u + s5_chain_spare(e, f));
}

int s5_hops_begin(struct s5_engine *e, struct s5_negotiation *f, const struct s5_server *chain,
                  const struct s5_addr *dst)
{
    int r =
        chain->isolate ? s5_identity_choose(e, &f->identity, chain, f->command == S5_UDP_ASSOCIATE ? NULL : dst) : 0;
    if (r == 0)
        r = s5_chain_begin(e, f, chain, dst);
    if (r < 0)
        return r;
    if (chain->chain_mode != S5_CHAIN_STRICT) {
        f->deadline = s5_hops_deadline(e, f);
        f->attempt = S5_ATTEMPT_FIRST;
    }
    return start_hop(e, f, 0);
}

int s5_hops_choose_again(struct s5_engine *e, struct s5_negotiation *f)
{
    int r = s5_chain_choose(e, f);
    if (r == 0)
        r = start_hop(e, f, 0);
    if (r == 0)
        f->deadline = s5_hops_deadline(e, f);
    return r;
}

int s5_hops_restart(struct s5_engine *e, struct s5_negotiation *f)
{
    f->chain.stepwise |= 1u << f->chain.places[f->chain.at % S5_CHAIN_HOPS] % 32;
    f->chain.ahead = 0;
    f->chain.ahead_sent = f->chain.piped = 0;
    return start_hop(e, f, 0);
}

int s5_hops_next(struct s5_engine *e, struct s5_negotiation *f)
{
    unsigned at = f->chain.at;
    uint64_t now = s5_clock_now(), sent = atomic_load_explicit(&f->sent, memory_order_relaxed);
    s5_chain_worked(e, f, at);
    f->chain.round_trip = sent && sent < now ? now - sent : 0;
    return start_hop(e, f, at + 1);
}

/* --- writing --- */

/* Writes the messages of hop number F->chain.ahead, from where the last call stopped. */
static ssize_t write_ahead(struct s5_engine *e, struct s5_negotiation *f, int fd, bool *ret_all)
{
    struct s5_session session;
    struct s5_hop hop;
    unsigned at = f->chain.ahead;
    s5_chain_hop(e, f, at, &hop);
    if (f->chain.ahead_sent)
        hop.pipeline = f->chain.piped & 1u << at % S5_CHAIN_HOPS;
    if (start_session(e, f, at, &hop, &session) < 0)
        return -EAGAIN; /* it fails when the hop is reached */
    s5_session_sent(&session, f->chain.ahead_sent);
    int flags = s5_chain_goes_ahead(e, f, at) ? MSG_MORE : 0;
    const struct s5_exchange exchange = {&session, NULL, fd, flags, e->real->send, e->real->recv};
    ssize_t n = s5_exchange_write(&exchange, ret_all);
    if (n >= 0) {
        f->chain.piped =
            (uint16_t)((f->chain.piped & ~(1u << at % S5_CHAIN_HOPS)) | (unsigned)hop.pipeline << at % S5_CHAIN_HOPS);
        f->chain.ahead_sent = *ret_all ? 0 : (uint16_t)(f->chain.ahead_sent + n);
        f->chain.ahead = (uint8_t)(at + *ret_all);
    }
    s5_session_wipe(&session);
    return n;
}

ssize_t s5_hops_write(struct s5_engine *e, struct s5_negotiation *f, int fd, bool *ret_all)
{
    size_t left;
    ssize_t total = 0;
    *ret_all = true;
    f->pieces++; /* what goes ahead is not written in one piece */
    s5_session_out(&f->session, &left);
    if (left) {
        int flags = s5_chain_goes_ahead(e, f, f->chain.at) ? MSG_MORE : 0;
        const struct s5_exchange exchange = {&f->session, NULL, fd, flags, e->real->send, e->real->recv};
        total = s5_exchange_write(&exchange, ret_all);
        if (total < 0 || !*ret_all)
            return total;
    }
    if (f->chain.ahead <= f->chain.at) {
        f->chain.ahead = (uint8_t)(f->chain.at + 1);
        f->chain.ahead_sent = 0;
    }
    while (*ret_all && (f->chain.ahead_sent || s5_chain_goes_ahead(e, f, f->chain.ahead - 1u))) {
        ssize_t n = write_ahead(e, f, fd, ret_all);
        if (n < 0 && n != -EAGAIN)
            return n;
        if (n < 0) {
            *ret_all = !f->chain.ahead_sent; /* what was not begun is written when the hop is reached */
            break;
        }
        total += n;
    }
    return total;
}

/* Who is the cause of a failure (where the bridge is between, it says so, see proto/reply.h):
 *
 * - The server, if it was not reached, did not select a method, or refused the user. It is down for all flows then.
 * - The server, for this command or address, if it does not support them (replies 7 and 8). That is not remembered.
 * - The target, for replies 4, 5 and 6, and if the server did not reply in time. The program gets the error.
 * - Replies 1, 2 and 3 may mean either. "next-on" of the rule decides, and only once for a flow.
 * - A connection that was closed in place of the reply: OpenSSH closes it for every target that it cannot reach. Only a
 *   server that never does anything else is passed over. */
#include "next_server.h"
#include "attempt.h"
#include "bridge.h"
#include "choice.h"
#include "error.h"
#include "log_events.h"
#include "negotiation_bounds.h"
#include "other_hops.h"
#include "pool.h"
#include "reply.h"
#include "route.h"
#include "written.h"
#include <errno.h>

enum cause {
    CAUSE_TARGET,     /* the program gets the error */
    CAUSE_UNSUITABLE, /* the server cannot do this */
    CAUSE_SERVER,     /* the server is down */
};

/* The errors of a connect() whose cause is the socket, for example the address it is bound to. */
static bool is_error_of_socket(int error)
{
    return error == -EINVAL || error == -EADDRINUSE || error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT ||
           error == -EPERM || error == -ENOBUFS || error == -ENOMEM;
}

static enum cause judge_reply(const struct s5_engine *e, struct s5_negotiation *f)
{
    uint8_t rep = f->session.rep;
    if (rep == 7 || rep == 8)
        return CAUSE_UNSUITABLE;
    if (rep < 1 || rep > 3 || !(s5_choice_rule(e, &f->choice)->next_on & 1u << (rep - 1)) || f->choice.indulgent)
        return CAUSE_TARGET;
    f->choice.indulgent = true;
    return CAUSE_UNSUITABLE;
}

bool s5_next_server_is_needed(const struct s5_negotiation *f)
{
    enum s5_session_state state = s5_session_last_state(&f->session);
    if (s5_negotiation_is_on_the_way(f))
        return true;
    if (f->mark)
        return f->mark == S5_REPLY_DOWN;
    return !f->session.have_rep && (state == S5_SESSION_METHOD || state == S5_SESSION_AUTH);
}

static enum cause judge_failure(struct s5_engine *e, struct s5_negotiation *f, int error)
{
    const struct s5_server *server = &e->policy->servers[s5_negotiation_server(f)];
    struct s5_endpoint at = s5_endpoint_bounded(&f->server);
    if (atomic_load(&f->phase) < S5_NEGOTIATION_TALKING) /* a bridge that was not reached says nothing of the server */
        return is_error_of_socket(error) || s5_bridge_answers(e, server, &at) ? CAUSE_UNSUITABLE : CAUSE_SERVER;
    if (s5_negotiation_is_on_the_way(f)) /* the target has not been requested yet */
        return CAUSE_SERVER;
    if (f->session.have_rep && !f->mark)
        return judge_reply(e, f);
    if (s5_next_server_is_needed(f))
        return CAUSE_SERVER;
    if (f->mark == S5_REPLY_UNSUITABLE || (!f->mark && error == -EPROTO))
        return CAUSE_UNSUITABLE;
    bool closed = f->mark == S5_REPLY_CLOSED || error == -ECONNREFUSED || error == -ECONNRESET;
    return closed && s5_choice_closed(e, &f->choice) ? CAUSE_UNSUITABLE : CAUSE_TARGET;
}

static int fetch_socket_error(struct s5_engine *e, int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    e->real->getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    return error ? -error : -ECONNREFUSED;
}

/* Returns what is wrong with the server of F, which failed with ERROR. */
static const char *explain_failure(const struct s5_negotiation *f, int error)
{
    bool reached = atomic_load(&f->phase) >= S5_NEGOTIATION_TALKING && !f->mark;
    return reached ? s5_log_events_why(f, error) : s5_error_text(error);
}

/* Connects FD, which is not connected, to SERVER for F. 0 or -errno. */
static int connect_next(struct s5_engine *e, struct s5_negotiation *f, int fd, const struct s5_server *server)
{
    int r = s5_route_address(e, server, f->peer.any.sa_family, &f->server);
    if (r == 0)
        r = s5_negotiation_use(e, f, server);
    if (r < 0)
        return r;
    struct s5_choice choice = f->choice;
    s5_negotiation_choose(e, f, &choice);
    return s5_negotiation_connect_again(e, f, fd);
}

bool s5_next_server_try(struct s5_engine *e, struct s5_negotiation *f, int fd, int *error)
{
    const struct s5_server *server = NULL;
    do {
        if (!*error)
            *error = fetch_socket_error(e, fd);
        if (f->chain.n && s5_other_hops_try(e, f, fd, error))
            return true;
        if (!f->choice.rule)
            return false;
        enum cause cause = judge_failure(e, f, *error);
        if (cause == CAUSE_SERVER)
            s5_choice_failed(e, &f->choice);
        if (cause == CAUSE_TARGET ||
            (atomic_load(&f->phase) == S5_NEGOTIATION_TALKING && s5_written_spoilt(e, f, fd, true)))
            return false;
        server = s5_choice_next(e, &f->choice, f->peer.any.sa_family);
        if (server)
            s5_log_events_passed_over(e, s5_negotiation_server(f));
        s5_log(&e->log, S5_LOG_WARNING, "server \"%s\": %s; %s%s", s5_negotiation_server_name(e->policy, f),
               explain_failure(f, *error), server ? "trying " : "no server is left",
               server ? s5_server_name(server) : "");
        if (!server)
            return false;
        s5_negotiation_disconnect(e, f, fd);
        *error = connect_next(e, f, fd, server);
    } while (*error < 0);
    return true;
}

bool s5_next_server_extend(struct s5_negotiation *f, uint64_t now)
{
    uint64_t until = f->choice.rule ? f->choice.until : f->chain.until;
    if (s5_session_state(&f->session) != S5_SESSION_REPLY || s5_negotiation_is_on_the_way(f) || now >= until ||
        f->deadline >= until)
        return false;
    f->deadline = until;
    return true;
}

bool s5_next_server_connect(struct s5_engine *e, struct s5_negotiation *f, int fd, int error)
{
    bool next = false;
    if (s5_next_server_may_help(f) && s5_negotiation_lock(e, f)) {
        next = atomic_load(&f->phase) < S5_NEGOTIATION_READY && s5_next_server_try(e, f, fd, &error);
        s5_negotiation_unlock(f);
    }
    return next;
}

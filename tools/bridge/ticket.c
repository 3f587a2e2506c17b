/* A child of the bridge requests the ticket. Of the descriptors it keeps only 0 to 2 and a pipe: a connection that the
 * bridge closes meanwhile must not remain open in the child. SIGALRM ends the child when the timeout of the server has
 * passed. */
#include "ticket.h"
#include "gss.h"
#include "journal.h"
#include "loop.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child writes in one write(). It is short enough for a pipe to take it as a whole. */
struct answer {
    int error;
    unsigned seconds;
    char principal[S5_GSS_PRINCIPAL];
    struct s5_gss_fault fault;
};

struct ticket {
    struct watch pipe; /* the first member: its address is that of the ticket */
    enum ticket_state state;
    pid_t child;
    int64_t until; /* GOOD: the end of the ticket, less a minute; ms */
    const struct s5_policy *policy;
    char principal[S5_GSS_PRINCIPAL];
};

void (*ticket_done)(int index, enum ticket_state state);

static struct ticket tickets[S5_POLICY_SERVERS];

static void close_from(int from, int except)
{
    if (except > from)
        syscall(SYS_close_range, from, except - 1, 0);
    syscall(SYS_close_range, except >= from ? except + 1 : from, ~0U, 0);
}

__attribute__((noreturn)) static void run_child(const struct s5_policy *p, int index, int to)
{
    const struct s5_server *server = &p->servers[index];
    struct answer answer = {0};
    struct s5_gss_target target = {.service = s5_policy_text(p, server->gssapi_service),
                                   .host = s5_policy_text(p, server->host),
                                   .delegate = server->gssapi_delegate};
    sigset_t none;
    close_from(3, to);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGALRM, SIG_DFL);
    signal(SIGHUP, SIG_IGN); /* it is for the bridge */
    alarm(server->timeout);
    answer.error = s5_gss_prepare(&target, answer.principal, &answer.seconds, &answer.fault);
    (void)!write(to, &answer, sizeof answer);
    _exit(0);
}

static void finish_ticket(struct watch *w, uint32_t ready)
{
    (void)ready;
    struct ticket *t = (struct ticket *)w;
    int index = (int)(t - tickets);
    struct answer answer = {.error = -ETIMEDOUT};
    if (read(w->fd, &answer, sizeof answer) != sizeof answer)
        strcpy(answer.fault.text, "the KDC did not answer in time");
    loop_close(w);
    kill(t->child, SIGKILL);
    waitpid(t->child, NULL, 0);
    answer.principal[sizeof answer.principal - 1] = '\0';
    answer.fault.text[sizeof answer.fault.text - 1] = '\0';
    t->state = answer.error < 0 ? TICKET_FAILED : TICKET_GOOD;
    t->until = loop_now() + 1000 * ((int64_t)answer.seconds - 60);
    memcpy(t->principal, answer.principal, sizeof t->principal);
    if (answer.error < 0)
        journal(S5_LOG_ERROR, "server \"%s\": Kerberos: %s", s5_policy_text(t->policy, t->policy->servers[index].name),
                answer.fault.text);
    ticket_done(index, t->state);
}

static enum ticket_state start_child(struct ticket *t, const struct s5_policy *p, int index)
{
    int ends[2];
    t->state = TICKET_FAILED;
    t->policy = p;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return t->state;
    t->child = fork();
    if (t->child == 0)
        run_child(p, index, ends[1]);
    close(ends[1]);
    t->pipe = (struct watch){.fd = ends[0], .ready = finish_ticket};
    if (t->child < 0 || loop_set_events(&t->pipe, EPOLLIN) < 0) {
        loop_close(&t->pipe);
        return t->state;
    }
    return t->state = TICKET_ASKING;
}

/* Returns true if server INDEX has the same principal in both policies. */
static bool is_same_target(const struct s5_policy *a, const struct s5_policy *b, int index)
{
    const struct s5_server *one = &a->servers[index], *other = &b->servers[index];
    return strcmp(s5_policy_text(a, one->host), s5_policy_text(b, other->host)) == 0 &&
           strcmp(s5_policy_text(a, one->gssapi_service), s5_policy_text(b, other->gssapi_service)) == 0 &&
           one->gssapi_delegate == other->gssapi_delegate;
}

enum ticket_state ticket_get(const struct s5_policy *p, int index)
{
    struct ticket *t = &tickets[index];
    if (t->state == TICKET_GOOD && t->policy != p && !is_same_target(t->policy, p, index))
        t->state = TICKET_NONE; /* a reload changed the server */
    if (t->state == TICKET_ASKING || (t->state == TICKET_GOOD && loop_now() < t->until))
        return t->state;
    return start_child(t, p, index);
}

const char *ticket_principal(int index)
{
    return tickets[index].principal;
}

void ticket_forget(int index)
{
    if (tickets[index].state == TICKET_GOOD)
        tickets[index].state = TICKET_NONE;
}

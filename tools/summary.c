/* Theory of operation: the terminal's signals reach the child by themselves; those sent to this
 * process alone are passed on. What the programs counted is in the memory file they share. Octets
 * are not known: once a connection is there, nothing of it passes through here. */
#include "summary.h"

#include "errors.h"
#include "reply.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child;

static void pass_on(int sig)
{
    int saved = errno;
    if (child > 0)
        kill((pid_t)child, sig);
    errno = saved;
}

static const int passed[] = {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGINT};
#define PASSED (sizeof(passed) / sizeof(*passed))

/* ---- Text ---- */

static unsigned get(const _Atomic uint32_t *of)
{
    return atomic_load(of);
}

static void part(unsigned number, const char *what)
{
    if (number > 0)
        fprintf(stderr, ", %u %s", number, what);
}

static void server_text(const char *name, const struct s5_server_stats *s)
{
    fprintf(stderr, "socksify: via \"%s\": %u connected", name, get(&s->connected));
    for (unsigned rep = 1; rep < S5_STATS_REPS; rep++)
        part(get(&s->failed[rep]), s5_reply_text((uint8_t)rep));
    part(get(&s->failed[0]), "refused with an unassigned reply");
    part(get(&s->unanswered), "without a reply");
    part(get(&s->unreachable), "not begun, as the server was not reached");
    part(get(&s->listeners), "listeners");
    part(get(&s->listeners_failed), "listeners refused");
    part(get(&s->associations), "UDP associations");
    part(get(&s->associations_failed), "UDP associations refused");
    fputc('\n', stderr);
}

/* ---- JSON ---- */

/* NAME in quotes; what is not plain ASCII is shown as '?'. */
static void quoted(const char *name)
{
    fputc('"', stderr);
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            fputc('\\', stderr);
        fputc(*name < ' ' || *name > '~' ? '?' : *name, stderr);
    }
    fputc('"', stderr);
}

static void server_json(const char *name, const struct s5_server_stats *s, bool first)
{
    fputs(first ? "{\"server\":" : ",{\"server\":", stderr);
    quoted(name);
    fprintf(stderr, ",\"connected\":%u,\"failed\":{", get(&s->connected));
    const char *comma = "";
    for (unsigned rep = 0; rep < S5_STATS_REPS; rep++) {
        unsigned n = get(&s->failed[rep]);
        if (n > 0) {
            fprintf(stderr, "%s\"%c\":%u", comma, rep ? (char)('0' + rep) : 'x', n);
            comma = ",";
        }
    }
    fprintf(stderr,
            "},\"unanswered\":%u,\"unreachable\":%u,\"listeners\":%u,\"listeners_refused\":%u,"
            "\"associations\":%u,\"associations_refused\":%u}",
            get(&s->unanswered), get(&s->unreachable), get(&s->listeners), get(&s->listeners_failed),
            get(&s->associations), get(&s->associations_failed));
}

static bool used(const struct s5_server_stats *s)
{
    static const struct s5_server_stats none;
    return memcmp(s, &none, sizeof(none)) != 0;
}

/* The counts of all entries of server I's into *RET; false: I is not the first of them. */
static bool add_up(struct s5_server_stats *ret, const struct s5_shm *shm, const struct s5_policy *p, unsigned i)
{
    for (unsigned j = 0; j < p->n_servers; j++) {
        const _Atomic uint32_t *from = (const _Atomic uint32_t *)&shm->stats.servers[j];
        if (p->servers[j].name != p->servers[i].name)
            continue;
        if (j < i)
            return false;
        for (size_t n = 0; n < sizeof(*ret) / sizeof(*from); n++)
            ((_Atomic uint32_t *)ret)[n] += get(&from[n]);
    }
    return true;
}

static void print(const struct s5_shm *shm, const struct s5_policy *p)
{
    bool json = p->log_json;
    const struct s5_stats *c = &shm->stats;
    bool first = true;
    if (json)
        fprintf(stderr, "{\"summary\":{\"direct\":%u,\"denied\":%u,\"servers\":[", get(&c->direct), get(&c->denied));
    for (unsigned i = 0; i < p->n_servers; i++) {
        const char *name = s5_policy_text(p, p->servers[i].name);
        struct s5_server_stats sum = {0};
        if (!add_up(&sum, shm, p, i) || !used(&sum))
            continue;
        if (json)
            server_json(name, &sum, first);
        else
            server_text(name, &sum);
        first = false;
    }
    if (json)
        fputs("]}}\n", stderr);
    else
        fprintf(stderr, "socksify: direct: %u connections; denied: %u\n", get(&c->direct), get(&c->denied));
}

/* ---- The command ---- */

static int status_of(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return EXIT_OWN_ERROR;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int summary_run(char *const *command, const struct s5_shm *shm, const struct s5_policy *policy)
{
    struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART}, before[PASSED];
    sigset_t all, mask;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &mask);
    for (size_t i = 0; i < PASSED; i++)
        sigaction(passed[i], NULL, &before[i]);
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &mask, NULL);
        execvp(command[0], command);
        _exit(message_fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN, "%s: %s", command[0], strerror(errno)));
    }
    child = pid;
    for (size_t i = 0; i < PASSED; i++) {
        /* The terminal sends these two to both. */
        action.sa_handler = passed[i] == SIGINT || passed[i] == SIGQUIT ? SIG_IGN : pass_on;
        if (before[i].sa_handler != SIG_IGN)
            sigaction(passed[i], &action, NULL);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (pid < 0)
        return message_fail(EXIT_OWN_ERROR, "%s", strerror(errno));
    int code = status_of(pid);
    print(shm, policy);
    return code;
}

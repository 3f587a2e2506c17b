/* Theory of operation: the child gets the signals of the terminal itself. Signals that are sent only to this process
 * are forwarded. The programs count in their shared memory. Octets are not known: an established connection does not
 * pass through the code of this project. */
#include "summary.h"

#include "errors.h"
#include "plain_text.h"
#include "reload.h"
#include "reply.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child;

static void forward_signal(int sig)
{
    int saved = errno;
    if (child > 0)
        kill((pid_t)child, sig);
    errno = saved;
}

static const int forwarded[] = {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT, SIGINT};
#define FORWARDED (sizeof(forwarded) / sizeof(*forwarded))

/* ---- Text ---- */

static unsigned get_count(const _Atomic uint32_t *of)
{
    return atomic_load(of);
}

static void print_count(unsigned number, const char *what)
{
    if (number > 0)
        fprintf(stderr, ", %u %s", number, what);
}

static void print_text(const char *name, const struct s5_server_stats *s)
{
    fputs("socksify: via \"", stderr);
    plain_text_print(stderr, name);
    fprintf(stderr, "\": %u connected", get_count(&s->connected));
    for (unsigned rep = 1; rep < S5_STATS_REPS; rep++)
        print_count(get_count(&s->failed[rep]), s5_reply_text((uint8_t)rep));
    print_count(get_count(&s->failed[0]), "refused with an unassigned reply");
    print_count(get_count(&s->unanswered), "without a reply");
    print_count(get_count(&s->unreachable), "not started, because the server was not reached");
    print_count(get_count(&s->passed_over), "passed over for the next server");
    print_count(get_count(&s->listeners), "listeners");
    print_count(get_count(&s->listeners_failed), "listeners refused");
    print_count(get_count(&s->associations), "UDP associations");
    print_count(get_count(&s->associations_failed), "UDP associations refused");
    fputc('\n', stderr);
}

/* ---- JSON ---- */

/* Prints NAME in quotes. Characters outside printable ASCII become "?". */
static void print_quoted(const char *name)
{
    fputc('"', stderr);
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            fputc('\\', stderr);
        fputc(*name < ' ' || *name > '~' ? '?' : *name, stderr);
    }
    fputc('"', stderr);
}

static void print_json(const char *name, const struct s5_server_stats *s, bool first)
{
    fputs(first ? "{\"server\":" : ",{\"server\":", stderr);
    print_quoted(name);
    fprintf(stderr, ",\"connected\":%u,\"failed\":{", get_count(&s->connected));
    const char *comma = "";
    for (unsigned rep = 0; rep < S5_STATS_REPS; rep++) {
        unsigned n = get_count(&s->failed[rep]);
        if (n > 0) {
            fprintf(stderr, "%s\"%c\":%u", comma, rep ? (char)('0' + rep) : 'x', n);
            comma = ",";
        }
    }
    fprintf(stderr,
            "},\"unanswered\":%u,\"unreachable\":%u,\"passed_over\":%u,\"listeners\":%u,"
            "\"listeners_refused\":%u,\"associations\":%u,\"associations_refused\":%u}",
            get_count(&s->unanswered), get_count(&s->unreachable), get_count(&s->passed_over), get_count(&s->listeners),
            get_count(&s->listeners_failed), get_count(&s->associations), get_count(&s->associations_failed));
}

static bool is_used(const struct s5_server_stats *s)
{
    static const struct s5_server_stats none;
    return memcmp(s, &none, sizeof(none)) != 0;
}

/* Adds the counts of all entries of server I to RET. Returns false if I is not the server's first entry. */
static bool add_counts(struct s5_server_stats *ret, const struct s5_shm *shm, const struct s5_policy *p, unsigned i)
{
    for (unsigned j = 0; j < p->n_servers; j++) {
        const _Atomic uint32_t *from = (const _Atomic uint32_t *)&shm->stats.servers[j];
        if (p->servers[j].name != p->servers[i].name)
            continue;
        if (j < i)
            return false;
        for (size_t n = 0; n < sizeof(*ret) / sizeof(*from); n++)
            ((_Atomic uint32_t *)ret)[n] += get_count(&from[n]);
    }
    return true;
}

static void print_summary(const struct s5_shm *shm, const struct s5_policy *p)
{
    bool json = p->log_json;
    const struct s5_stats *c = &shm->stats;
    bool first = true;
    if (json)
        fprintf(stderr, "{\"summary\":{\"direct\":%u,\"denied\":%u,\"servers\":[", get_count(&c->direct),
                get_count(&c->denied));
    for (unsigned i = 0; i < p->n_servers; i++) {
        const char *name = s5_policy_text(p, p->servers[i].name);
        struct s5_server_stats sum = {0};
        if (!add_counts(&sum, shm, p, i) || !is_used(&sum))
            continue;
        if (json)
            print_json(name, &sum, first);
        else
            print_text(name, &sum);
        first = false;
    }
    if (json)
        fputs("]}}\n", stderr);
    else
        fprintf(stderr, "socksify: direct: %u connections; denied: %u\n", get_count(&c->direct), get_count(&c->denied));
}

/* ---- The command ---- */

static int wait_for_status(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return EXIT_OWN_ERROR;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int summary_run(char *const *command, const struct s5_shm *shm, struct fencing *fence)
{
    struct sigaction action = {.sa_handler = forward_signal, .sa_flags = SA_RESTART}, before[FORWARDED];
    sigset_t all, mask;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &mask);
    for (size_t i = 0; i < FORWARDED; i++)
        sigaction(forwarded[i], NULL, &before[i]);
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &mask, NULL);
        int error = fencing_install(fence);
        if (error != 0)
            _exit(error);
        execvp(command[0], command);
        _exit(errors_fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN, "%s: %s", command[0], strerror(errno)));
    }
    child = pid;
    fencing_cancel(fence); /* the child has it */
    for (size_t i = 0; i < FORWARDED; i++) {
        /* The terminal sends these two to both processes. */
        action.sa_handler = forwarded[i] == SIGINT || forwarded[i] == SIGQUIT ? SIG_IGN : forward_signal;
        if (before[i].sa_handler != SIG_IGN)
            sigaction(forwarded[i], &action, NULL);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (pid < 0)
        return errors_fail(EXIT_OWN_ERROR, "%s", strerror(errno));
    int code = wait_for_status(pid);
    /* A reader of the summary that is gone, or a limit on file sizes, does not change the exit status. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    struct s5_policy_file *newest;
    uint32_t generation;
    int result = s5_reload_fetch(shm, &newest, &generation);
    print_summary(shm, result == 0 ? &newest->policy : fence->policy);
    return code;
}

/* Theory of operation
 *
 * First all trees are prepared: the configuration of each is read and checked as its first process did it, with the
 * environment of one of its processes, and the names of the servers are resolved. Then all trees are locked, and the
 * new policies are merged with those in force. Only then are they published, which cannot fail. */
#include "reload_command.h"

#include "errors.h"
#include "plain_text.h"
#include "reload.h"
#include "resolved_policy.h"
#include "trees.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAILED    1
#define LOCK_MS   5000 /* another reload takes milliseconds */
#define LOCK_STEP 10

struct job {
    struct process_tree *programs;
    char **environment;            /* of one of its processes, or NULL */
    struct s5_policy_file *next;   /* what was read */
    struct s5_policy_file *merged; /* what takes the place of the policy in force */
    struct s5_merge merge;
    bool skipped; /* it cannot be reloaded, and no process was named */
};

static int fail_no_memory(void)
{
    return errors_fail(FAILED, "%s", strerror(ENOMEM));
}

/* --- reading --- */

static void free_environment(char **strings)
{
    if (strings)
        free(*strings);
    free(strings);
}

/* Returns whether a process with the environment ENV reads the policy of PROGRAMS. */
static bool is_environment_of(const struct process_tree *programs, const struct s5_environment *env)
{
    uint64_t fingerprint = s5_source_fingerprint(env);
    struct s5_policy_file *file = s5_shm_policy(programs->shm, programs->fd, &fingerprint);
    if (file)
        s5_policy_file_unmap(file);
    return file != NULL;
}

/* Stores the environment of a process of JOB in RET: of one that reads the policy of the tree, if there is one, else of
 * the first. RET points into JOB->environment. */
static void find_environment(struct job *job, struct s5_environment *ret)
{
    static char *const none[] = {NULL};
    bool found = false;
    s5_environment_read(ret, none);
    for (unsigned i = 0; !found && i < TREES_PROCESSES && job->programs->processes[i]; i++) {
        char **strings = trees_environment(job->programs->processes[i]);
        struct s5_environment env;
        s5_environment_read(&env, strings ? strings : none);
        found = is_environment_of(job->programs, &env);
        if (found || !job->environment) {
            free_environment(job->environment);
            job->environment = strings;
            *ret = env;
        } else
            free_environment(strings);
    }
}

/* Reads the configuration for JOB, whose tree has the policy CURRENT. Returns 0, or FAILED after it prints what is
 * wrong. */
static int read_policy(struct job *job, const struct options *options, const struct s5_policy *current)
{
    struct s5_source source = {.file = options->file};
    struct s5_fault fault = {""};
    if (options->n_urls > 0)
        source.urls = (const char *const *)options->urls;
    else if (!source.file)
        source.file = s5_policy_text(current, current->file);
    find_environment(job, &source.env);
    job->next = s5_policy_file_private();
    if (!job->next)
        return fail_no_memory();
    if (s5_source_load(&job->next->policy, &source, &fault) < 0)
        return errors_fail(FAILED, "%s", fault.text);
    /* Within a process tree libc's resolver is that of the tree, and gives names fake addresses. The programs then
     * resolve the names of new servers themselves. */
    return getenv(S5_SHM_VARIABLE) ? 0 : resolved_policy_resolve_all(&job->next->policy, FAILED);
}

/* Prepares JOB. Returns 0, or FAILED after it prints what is wrong. */
static int prepare_job(struct job *job, const struct options *options)
{
    struct s5_policy_file *current = s5_reload_current(job->programs->shm, job->programs->fd);
    int first = (int)job->programs->processes[0], code = 0;
    if (!current) {
        /* No process has needed the configuration yet. It is read when one does. */
        job->skipped = true;
        return options->process ? errors_fail(FAILED, "process %d: no configuration was read yet", first) : 0;
    }
    if (!options->file && options->n_urls == 0 && !current->policy.file) {
        job->skipped = true;
        code = errors_fail(options->process ? FAILED : 0,
                           "process %d: its configuration came from %s, not from a file: -c, -p or -x is needed", first,
                           s5_policy_text(&current->policy, current->policy.source));
    } else
        code = read_policy(job, options, &current->policy);
    s5_policy_file_unmap(current);
    return code;
}

/* --- replacing --- */

static bool lock_programs(const struct process_tree *programs)
{
    struct timespec pause = {0, LOCK_STEP * 1000000L};
    for (int waited = 0; waited < LOCK_MS; waited += LOCK_STEP) {
        if (s5_reload_lock(programs->fd))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* Merges what JOB has read with the policy in force. Returns 0, or FAILED after it prints what is wrong. */
static int merge_job(struct job *job)
{
    struct s5_fault fault;
    if (!lock_programs(job->programs))
        return errors_fail(FAILED, "process %d: another reload does not end", (int)job->programs->processes[0]);
    job->merged = s5_reload_merge(job->programs->shm, job->programs->fd, &job->next->policy, &job->merge, &fault);
    if (job->merged)
        return 0;
    return fault.text[0] ? errors_fail(FAILED, "%s", fault.text) : fail_no_memory();
}

/* Prints a line for each source, with the number of its trees. */
static void print_result(const struct job *jobs, int n)
{
    for (int i = 0; i < n; i++) {
        const char *source = jobs[i].skipped ? "" : s5_policy_text(&jobs[i].next->policy, jobs[i].next->policy.source);
        int count = 0;
        bool first = *source != '\0';
        for (int j = 0; first && j < n; j++)
            if (!jobs[j].skipped &&
                strcmp(source, s5_policy_text(&jobs[j].next->policy, jobs[j].next->policy.source)) == 0) {
                count++;
                first = j >= i;
            }
        if (!first)
            continue;
        fputs("socksify: reloaded ", stdout);
        plain_text_print(stdout, source);
        printf(" for %d process tree%s\n", count, count == 1 ? "" : "s");
    }
}

/* Puts the policies of the N JOBS in force. Returns the exit code. */
static int replace_policies(struct job *jobs, int n)
{
    int code = 0, replaced = 0;
    for (int i = 0; code == 0 && i < n; i++)
        code = jobs[i].skipped ? 0 : merge_job(&jobs[i]);
    for (int i = 0; code == 0 && i < n; i++) {
        if (jobs[i].skipped)
            continue;
        s5_reload_publish(jobs[i].programs->shm, &jobs[i].merged->policy, &jobs[i].merge);
        replaced++;
        const struct s5_policy *p = &jobs[i].next->policy;
        if (jobs[i].merge.keeps_fake_range)
            errors_fail(0, "%s: \"fake-ipv4\" and \"fake-ipv6\" remain as they were: programs have addresses of them",
                        s5_policy_text(p, p->source));
    }
    if (code == 0 && replaced == 0)
        code = errors_fail(FAILED, "no process tree of this user was reloaded");
    return code;
}

static int fail_to_find(const struct options *options, int error)
{
    int process = (int)options->process;
    if (error == -EACCES)
        return errors_fail(FAILED, "process %d: it belongs to another user, or is protected", process);
    if (error < 0)
        return errors_fail(FAILED, "process %d: %s", process, strerror(-error));
    if (process)
        return errors_fail(FAILED, "process %d does not run under socksify", process);
    return errors_fail(FAILED, "no process of this user runs under socksify");
}

int reload_command(const struct options *options)
{
    static struct process_tree trees[TREES_MAX];
    static struct job jobs[TREES_MAX];
    int n = trees_find(trees, options->process), code = n > 0 ? 0 : fail_to_find(options, n);
    for (int i = 0; code == 0 && i < n; i++) {
        jobs[i].programs = &trees[i];
        code = prepare_job(&jobs[i], options);
    }
    if (code == 0)
        code = replace_policies(jobs, n);
    if (code == 0)
        print_result(jobs, n);
    return code == 0 && fflush(stdout) != 0 ? EXIT_OWN_ERROR : code;
}

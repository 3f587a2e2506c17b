/* Starts a command N times, one after another. Prints the median of the times, in microseconds, until it had ended.
 *
 *   starts N [NAME=VALUE...] COMMAND [ARGUMENT...]      the variables are added to the command's environment */
#include "bench.h"
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static int compare(const void *a, const void *b)
{
    double one = *(const double *)a, other = *(const double *)b;
    return (one > other) - (one < other);
}

/* Returns the environment with the VARIABLES, of which there are N. */
static char **extend_environment(char **variables, size_t n)
{
    size_t have = 0;
    while (environ[have])
        have++;
    char **all = calloc(have + n + 1, sizeof *all);
    CHECK(all != NULL);
    memcpy(all, environ, have * sizeof *all);
    memcpy(all + have, variables, n * sizeof *all);
    return all;
}

int main(int argc, char **argv)
{
    CHECK(argc > 2);
    size_t n = strtoul(argv[1], NULL, 10), variables = 0;
    double *times = calloc(n, sizeof *times);
    CHECK(n > 0 && times != NULL);
    while (argv[2 + variables] && strchr(argv[2 + variables], '='))
        variables++;
    char **command = argv + 2 + variables, **env = extend_environment(argv + 2, variables);
    CHECK(*command != NULL);
    for (size_t i = 0; i < n; i++) {
        pid_t child;
        int status;
        double begun = now_us();
        CHECK(posix_spawn(&child, *command, NULL, NULL, command, env) == 0);
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        times[i] = now_us() - begun;
    }
    qsort(times, n, sizeof *times, compare);
    printf("%.1f\n", times[n / 2]);
    return 0;
}

/* Theory of operation: reads the command line, then the policy, then explains the policy or runs the command with it.
 * Every error is found before the command starts. */
#include "check.h"
#include "errors.h"
#include "explain.h"
#include "import.h"
#include "options.h"
#include "reload_command.h"
#include "resolved_policy.h"
#include "run.h"
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct options options;
    int code = options_parse(&options, argc, argv);
    if (code != 0)
        return code;
    if (options.action == OPTIONS_HELP)
        return fputs(options_help, stdout) < 0 || fflush(stdout) != 0 ? EXIT_OWN_ERROR : 0;
    if (options.action == OPTIONS_VERSION)
        return puts("socksify " VERSION) < 0 || fflush(stdout) != 0 ? EXIT_OWN_ERROR : 0;
    if (options.action == OPTIONS_IMPORT)
        return import(options.import);
    if (options.action == OPTIONS_RELOAD)
        return reload_command(&options);
    /* If the process has other IDs than the user's, nothing that the user set in the environment may be used. */
    bool trusted = getauxval(AT_SECURE) == 0;
    if (options.action == OPTIONS_CHECK)
        return check(&options, trusted ? environ : NULL);
    static struct s5_policy policy;
    code = resolved_policy_load(&policy, &options, trusted ? environ : NULL);
    if (code != 0)
        return code;
    if (options.action == OPTIONS_EXPLAIN)
        return explain(&policy, options.explain);
    return run(&options, &policy, trusted);
}

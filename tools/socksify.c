/* Theory of operation: read the command line, then the policy, then explain it or run the command
 * under it. Everything that can be wrong is found before the command starts. */
#include "check.h"
#include "errors.h"
#include "explain.h"
#include "import.h"
#include "options.h"
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
    /* Run under other ids than the user's, nothing the user set may be obeyed. */
    bool trusted = getauxval(AT_SECURE) == 0;
    if (options.action == OPTIONS_CHECK)
        return check(&options, trusted ? environ : NULL);
    static struct s5_policy policy;
    code = plan_load(&policy, &options, trusted ? environ : NULL);
    if (code != 0)
        return code;
    if (options.action == OPTIONS_EXPLAIN)
        return explain(&policy, options.explain);
    return run(&options, &policy, trusted);
}

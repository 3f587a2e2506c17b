/* Theory of operation: "+" makes getopt_long() stop at the first operand, so that the options of the command are left
 * to the command. A bare word is never a sub-command of socksify. */
#include "options.h"
#include "bridge/url_argument.h"
#include "config_values.h"
#include "errors.h"

#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char options_help[] = "Usage: socksify [OPTION]... [--] COMMAND [ARGUMENT]...\n"
                            "Run COMMAND through a SOCKS5 server.\n"
                            "\n"
                            "  -c FILE              read the configuration from FILE, see socks5.conf(5)\n"
                            "  -p NAME              read $XDG_CONFIG_HOME/socks5/NAME.conf\n"
                            "  -x URL               send all traffic but loopback to the server of URL,\n"
                            "                       socks5h://[USER[:PASSWORD]@]HOST[:PORT]; several -x:\n"
                            "                       the first server that works\n"
                            "      --isolate WHAT   isolate traffic at the server by user name: process,\n"
                            "                       destination, rule, or several, separated by commas\n"
                            "  -v                   write a log line for each connection; -vv: for each\n"
                            "                       phase, too\n"
                            "      --log WHERE      write log lines to stderr, syslog, fd:N or a file\n"
                            "      --log-json       write log lines as JSON\n"
                            "      --no-fence       do not let the kernel refuse calls that bypass the\n"
                            "                       preload object\n"
                            "      --require-fence  do not run COMMAND if the kernel cannot do that\n"
                            "      --no-companion   start no process that logs these calls and looks up the\n"
                            "                       names that rules lead directly\n"
                            "      --engine=ENGINE  run COMMAND by the preload object (preload) or in a\n"
                            "                       network namespace (namespace); auto, the default, uses\n"
                            "                       a namespace for what the preload object cannot cover\n"
                            "      --strict         run COMMAND and all that it starts in a namespace that\n"
                            "                       nothing can leave but through the server\n"
                            "      --summary        print statistics when COMMAND ends\n"
                            "      --check          check the configuration and the servers, and whether\n"
                            "                       COMMAND can be covered; exit status: 0 if nothing\n"
                            "                       failed, else 1\n"
                            "      --target HOST:PORT   set the destination that --check tries\n"
                            "      --json           print the result of --check as JSON\n"
                            "      --explain HOST:PORT  print the rule and the server of a TCP connection;\n"
                            "                       exit status: 0 if it is allowed, 1 if it is denied\n"
                            "      --import FILE    convert the configuration of proxychains, Dante,\n"
                            "                       torsocks or tsocks, and print it\n"
                            "      --reload [PID]   read the configuration again for programs that run:\n"
                            "                       those of the process tree of PID, or all of this user;\n"
                            "                       -c, -p or -x: replace it by another one; exit status: 0\n"
                            "                       if it is in force, 1 if it has a mistake\n"
                            "      --version        print the version and exit\n"
                            "      --help           print this help and exit\n"
                            "\n"
                            "Without -c, -p and -x the configuration comes from SOCKS5_CONF, SOCKS5_SERVER,\n"
                            "SOCKS_SERVER, ALL_PROXY, $XDG_CONFIG_HOME/socks5/socks5.conf or\n"
                            "/etc/socks5.conf.\n"
                            "\n"
                            "Exit status: 125 if socksify itself fails, 126 if COMMAND cannot be run or\n"
                            "cannot be covered, 127 if it is not found, else the status of COMMAND.\n";

enum {
    OPTION_EXPLAIN = 256,
    OPTION_CHECK,
    OPTION_ISOLATE,
    OPTION_LOG,
    OPTION_LOG_JSON,
    OPTION_SUMMARY,
    OPTION_NO_FENCE,
    OPTION_REQUIRE_FENCE,
    OPTION_NO_COMPANION,
    OPTION_ENGINE,
    OPTION_STRICT,
    OPTION_TARGET,
    OPTION_JSON,
    OPTION_IMPORT,
    OPTION_RELOAD,
    OPTION_VERSION,
    OPTION_HELP,
};

static const struct option long_options[] = {
    {"explain", required_argument, NULL, OPTION_EXPLAIN},
    {"isolate", required_argument, NULL, OPTION_ISOLATE},
    {"log", required_argument, NULL, OPTION_LOG},
    {"log-json", no_argument, NULL, OPTION_LOG_JSON},
    {"summary", no_argument, NULL, OPTION_SUMMARY},
    {"no-fence", no_argument, NULL, OPTION_NO_FENCE},
    {"require-fence", no_argument, NULL, OPTION_REQUIRE_FENCE},
    {"no-companion", no_argument, NULL, OPTION_NO_COMPANION},
    {"engine", required_argument, NULL, OPTION_ENGINE},
    {"strict", no_argument, NULL, OPTION_STRICT},
    {"check", no_argument, NULL, OPTION_CHECK},
    {"target", required_argument, NULL, OPTION_TARGET},
    {"json", no_argument, NULL, OPTION_JSON},
    {"import", required_argument, NULL, OPTION_IMPORT},
    {"reload", no_argument, NULL, OPTION_RELOAD},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

/* Prints an error for the option that getopt_long() refused last. Returns EXIT_OWN_ERROR. */
static int report_bad_option(char **argv)
{
    if (optopt == 'c' || optopt == 'p' || optopt == 'x' || optopt == OPTION_EXPLAIN || optopt == OPTION_TARGET ||
        optopt == OPTION_LOG || optopt == OPTION_ISOLATE || optopt == OPTION_ENGINE || optopt == OPTION_IMPORT)
        return errors_fail(EXIT_OWN_ERROR, "option %s needs an argument; see socksify --help", argv[optind - 1]);
    if (optopt > 0 && optopt < 256)
        return errors_fail(EXIT_OWN_ERROR, "unknown option -%c; see socksify --help", optopt);
    return errors_fail(EXIT_OWN_ERROR, "bad option %s; see socksify --help", argv[optind - 1]);
}

/* Stores OPTION in RET. Returns false if it is not known. */
static bool store_option(struct options *ret, int option)
{
    switch (option) {
    case 'c':
        ret->file = optarg;
        return true;
    case 'p':
        ret->profile = optarg;
        return true;
    case 'x':
        if (ret->n_urls < S5_POLICY_SERVERS)
            ret->urls[ret->n_urls] = url_argument_take(optarg);
        else
            url_argument_strip(optarg);
        ret->n_urls++;
        return true;
    case 'v':
        ret->verbosity++;
        return true;
    case OPTION_EXPLAIN:
        ret->action = OPTIONS_EXPLAIN;
        ret->explain = optarg;
        return true;
    case OPTION_CHECK:
        ret->action = OPTIONS_CHECK;
        return true;
    case OPTION_TARGET:
        ret->target = optarg;
        return true;
    case OPTION_ISOLATE:
        ret->isolate = optarg;
        return true;
    case OPTION_JSON:
        ret->json = true;
        return true;
    case OPTION_LOG:
        ret->log = optarg;
        return true;
    case OPTION_LOG_JSON:
        ret->log_json = true;
        return true;
    case OPTION_SUMMARY:
        ret->summary = true;
        return true;
    case OPTION_NO_FENCE:
        ret->no_fence = true;
        return true;
    case OPTION_REQUIRE_FENCE:
        ret->require_fence = true;
        return true;
    case OPTION_NO_COMPANION:
        ret->no_companion = true;
        return true;
    case OPTION_STRICT:
        ret->strict = true;
        return true;
    case OPTION_ENGINE:
        ret->engine = s5_config_word("engine", optarg);
        return true;
    case OPTION_IMPORT:
        ret->action = OPTIONS_IMPORT;
        ret->import = optarg;
        return true;
    case OPTION_RELOAD:
        ret->action = OPTIONS_RELOAD;
        return true;
    case OPTION_VERSION:
        ret->action = OPTIONS_VERSION;
        return true;
    case OPTION_HELP:
        ret->action = OPTIONS_HELP;
        return true;
    default:
        return false;
    }
}

/* Parses the words after --reload. Returns 0, or EXIT_OWN_ERROR after it prints what is wrong. */
static int parse_process(struct options *ret, char *const *words)
{
    char *end;
    if (ret->isolate || ret->log || ret->log_json || ret->summary || ret->verbosity || ret->no_fence ||
        ret->require_fence || ret->no_companion || ret->strict || ret->engine >= 0)
        return errors_fail(EXIT_OWN_ERROR, "--reload goes with -c, -p and -x only");
    if (!words[0])
        return 0;
    unsigned long process = strtoul(words[0], &end, 10);
    if (words[0][0] < '0' || words[0][0] > '9' || *end || process < 1 || process > INT_MAX)
        return errors_fail(EXIT_OWN_ERROR, "--reload: \"%s\" is not a process ID", words[0]);
    if (words[1])
        return errors_fail(EXIT_OWN_ERROR, "--reload takes one process ID: %s", words[1]);
    ret->process = (int)process;
    return 0;
}

/* Stores the path of the profile in RET->file. Returns 0, or EXIT_OWN_ERROR after it prints what is wrong. */
static int choose_profile(struct options *ret)
{
    static char path[PATH_MAX];
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int n = -1;
    if (!*ret->profile || strchr(ret->profile, '/'))
        return errors_fail(EXIT_OWN_ERROR, "-p: \"%s\" is not a name; -c reads a file", ret->profile);
    if (config && *config == '/')
        n = snprintf(path, sizeof(path), "%s/socks5/%s.conf", config, ret->profile);
    else if (home && *home == '/')
        n = snprintf(path, sizeof(path), "%s/.config/socks5/%s.conf", home, ret->profile);
    if (n < 0 || (size_t)n >= sizeof(path))
        return errors_fail(EXIT_OWN_ERROR, "-p: neither XDG_CONFIG_HOME nor HOME is an absolute path");
    ret->file = path;
    return 0;
}

int options_parse(struct options *ret, int argc, char **argv)
{
    *ret = (struct options){.action = OPTIONS_RUN, .engine = -1};
    int option;
    opterr = 0; /* its messages would begin with argv[0], whatever that is */
    while ((option = getopt_long(argc, argv, "+c:p:x:v", long_options, NULL)) != -1) {
        if (!store_option(ret, option))
            return report_bad_option(argv);
        if (option == OPTION_ENGINE && ret->engine < 0)
            return errors_fail(EXIT_OWN_ERROR, "--engine: \"%s\" is unknown; expected auto, preload, namespace",
                               optarg);
        if (ret->action == OPTIONS_VERSION || ret->action == OPTIONS_HELP)
            return 0;
    }
    if (ret->n_urls > S5_POLICY_SERVERS)
        return errors_fail(EXIT_OWN_ERROR, "more than %d servers", S5_POLICY_SERVERS);
    if (ret->file && ret->n_urls > 0)
        return errors_fail(EXIT_OWN_ERROR, "-c and -x exclude each other");
    if (ret->profile && (ret->file || ret->n_urls > 0))
        return errors_fail(EXIT_OWN_ERROR, "-p excludes -c and -x");
    if (ret->profile && choose_profile(ret) != 0)
        return EXIT_OWN_ERROR;
    if (ret->strict && ret->engine >= 0 && ret->engine != S5_ENGINE_NAMESPACE)
        return errors_fail(EXIT_OWN_ERROR, "--strict needs the engine namespace");
    if (ret->no_fence && ret->require_fence)
        return errors_fail(EXIT_OWN_ERROR, "--no-fence and --require-fence exclude each other");
    if ((ret->target || ret->json) && ret->action != OPTIONS_CHECK)
        return errors_fail(EXIT_OWN_ERROR, "--target and --json belong to --check");
    if (ret->action == OPTIONS_RELOAD)
        return parse_process(ret, argv + optind);
    if (ret->action == OPTIONS_CHECK) {
        ret->command = argv[optind] ? argv + optind : NULL;
    } else if (ret->action == OPTIONS_RUN) {
        if (!argv[optind])
            return errors_fail(EXIT_OWN_ERROR, "no command given; see socksify --help");
        ret->command = argv + optind;
    } else if (argv[optind]) {
        return errors_fail(EXIT_OWN_ERROR, "%s takes no command: %s",
                           ret->action == OPTIONS_IMPORT ? "--import" : "--explain", argv[optind]);
    }
    return 0;
}

/* The whole command line is checked here, so that errors are printed before the bridge starts to work. */
#include "arguments.h"
#include "url_argument.h"
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] = "Usage: socks5-bridge --listen ADDRESS:PORT [OPTION]...\n"
                           "Local SOCKS5 proxy in front of a SOCKS5 server with Kerberos.\n"
                           "\n"
                           "      --listen ADDRESS:PORT  listen on this address, a loopback address\n"
                           "  -c FILE                    read the configuration from FILE, see\n"
                           "                             socks5.conf(5)\n"
                           "  -x URL                     forward all requests to the server of URL\n"
                           "      --user NAME            require this user name and a password; without it\n"
                           "                             only programs of the same user are admitted\n"
                           "      --password-file FILE   read the password for --user from FILE\n"
                           "  -v                         raise the log level to info; -vv: to debug\n"
                           "      --version              print the version and exit\n"
                           "      --help                 print this help and exit\n"
                           "\n"
                           "On SIGTERM or SIGINT it exits when its last connection ends, on a second\n"
                           "signal at once. On SIGHUP it reads the configuration again. Exit status: 0, or\n"
                           "125 if it cannot serve.\n";

enum { LISTEN = 256, USER, PASSWORD_FILE, SHM, VERSION_, HELP };

static const struct option long_options[] = {
    {"listen", required_argument, NULL, LISTEN},
    {"user", required_argument, NULL, USER},
    {"password-file", required_argument, NULL, PASSWORD_FILE},
    {"tree", required_argument, NULL, SHM}, /* only for socksify and its preload object */
    {"version", no_argument, NULL, VERSION_},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

__attribute__((format(printf, 1, 2))) static int print_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("socks5-bridge: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 125;
}

static int parse_listen(struct arguments *o, const char *text)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (!colon || !colon[1] || *end || port > 65535 ||
        s5_addr_parse(&o->listen, text, (size_t)(colon - text), (uint16_t)port) < 0 || o->listen.kind == S5_ADDR_NAME)
        return print_error("--listen: not ADDRESS:PORT: %s", text);
    uint8_t any[16] = {0};
    if (!s5_addr_is_loopback(&o->listen) || memcmp(o->listen.octets, any, o->listen.kind == S5_ADDR_IPV4 ? 4 : 16) == 0)
        return print_error("--listen: %s is not loopback: others could use your credentials", text);
    return ARGUMENTS_RUN;
}

static int parse_option(struct arguments *o, int option, char **argv)
{
    switch (option) {
    case 'c':
        o->file = optarg;
        break;
    case 'x':
        if (o->url)
            return print_error("-x is given twice; several servers are a list of a configuration file");
        o->url = url_argument_take(optarg);
        break;
    case 'v':
        o->verbosity++;
        break;
    case LISTEN:
        return parse_listen(o, optarg);
    case USER:
        o->user = optarg;
        break;
    case PASSWORD_FILE:
        o->password_file = optarg;
        break;
    case SHM:
        o->shm = atoi(optarg);
        break;
    case VERSION_:
        puts("socks5-bridge " VERSION);
        return 0;
    case HELP:
        fputs(help, stdout);
        return 0;
    default:
        return print_error("bad option %s; see socks5-bridge --help", argv[optind - 1]);
    }
    return ARGUMENTS_RUN;
}

int arguments_parse(struct arguments *ret, int argc, char **argv)
{
    *ret = (struct arguments){.file = NULL};
    int option, result = ARGUMENTS_RUN;
    opterr = 0;
    while (result == ARGUMENTS_RUN && (option = getopt_long(argc, argv, "c:x:v", long_options, NULL)) != -1)
        result = parse_option(ret, option, argv);
    if (result != ARGUMENTS_RUN)
        return result;
    if (argv[optind])
        return print_error("unexpected argument %s; see socks5-bridge --help", argv[optind]);
    if (ret->shm > 0)
        return ARGUMENTS_RUN;
    if (ret->listen.kind == S5_ADDR_NONE)
        return print_error("--listen is missing; see socks5-bridge --help");
    if (ret->file && ret->url)
        return print_error("-c and -x exclude each other");
    if (!ret->user != !ret->password_file)
        return print_error("--user and --password-file go together");
    if (ret->user && (strlen(ret->user) < 1 || strlen(ret->user) > 255))
        return print_error("--user: not 1 to 255 octets");
    return ARGUMENTS_RUN;
}

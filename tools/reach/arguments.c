#include "arguments.h"
#include "errors.h"
#include "file.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Finds the gateway: in the build directory that this program is in, else where it is installed. */
static void find_gateway(char ret[static PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    if (s5_file_find_program(ret, PATH_MAX, self, "/../gateway/socks5-gateway", GATEWAY_PATH) < 0)
        snprintf(ret, PATH_MAX, "%s", GATEWAY_PATH); /* its absence is reported when it is started */
}

static bool parse_option(struct arguments *a, const char *option)
{
    if (strcmp(option, "--strict") == 0)
        a->flags = HANDOVER_STRICT;
    else if (strcmp(option, "--no-loopback-out") == 0)
        a->flags &= ~HANDOVER_LOOPBACK_OUT;
    else if (strcmp(option, "--no-loopback-in") == 0)
        a->flags &= ~HANDOVER_LOOPBACK_IN;
    else if (strcmp(option, "--hide-dbus") == 0)
        a->hide_dbus = true;
    else if (strcmp(option, "--try") == 0)
        a->attempt = true;
    else
        return false;
    return true;
}

int arguments_parse(struct arguments *ret, int argc, char **argv)
{
    int at = 1;
    *ret = (struct arguments){.flags = HANDOVER_LOOPBACK_OUT | HANDOVER_LOOPBACK_IN};
    find_gateway(ret->gateway);
    for (; at < argc && strncmp(argv[at], "--", 2) == 0 && strcmp(argv[at], "--") != 0; at++)
        if (!parse_option(ret, argv[at]))
            return errors_fail(EXIT_OWN_ERROR, "socks5-reach: unknown option %s", argv[at]);
    at += at < argc && strcmp(argv[at], "--") == 0;
    if (ret->attempt ? at != argc : argc - at < 2)
        return errors_fail(EXIT_OWN_ERROR, "socks5-reach: it is started by socksify, with a file and its arguments");
    ret->file = argv[at];
    ret->command = argv + at + 1;
    return 0;
}

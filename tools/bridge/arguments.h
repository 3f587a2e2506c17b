/* The command line of socks5-bridge. */
#ifndef BRIDGE_ARGUMENTS_H
#define BRIDGE_ARGUMENTS_H

#include "addr.h"

struct arguments {
    const char *file;          /* -c, or NULL */
    char *url;                 /* -x, or NULL */
    int verbosity;             /* number of -v */
    struct s5_addr listen;     /* --listen; an address of loopback */
    const char *user;          /* --user, or NULL */
    const char *password_file; /* --password-file; set if USER is set, else NULL */
    int shm;                   /* --tree: the process that started the bridge for its process tree; 0: stand-alone */
};

enum { ARGUMENTS_RUN = -1 };

/* Parses ARGV, which has ARGC words, into RET. The strings of RET point into ARGV. Returns ARGUMENTS_RUN, or the exit
 * code after it prints the help, the version or an error. */
int arguments_parse(struct arguments *ret, int argc, char **argv);

#endif

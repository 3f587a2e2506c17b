/* The command line of socks5-bridge. */
#ifndef BRIDGE_ARGUMENTS_H
#define BRIDGE_ARGUMENTS_H

#include "addr.h"

struct arguments {
    const char *file;          /* -c, or NULL */
    char *url;                 /* -x, or NULL */
    int verbosity;             /* how many -v */
    struct s5_addr listen;     /* --listen; loopback */
    const char *user;          /* --user, or NULL */
    const char *password_file; /* --password-file; there is one where there is a user */
    int shm;                   /* --tree: the process whose tree this bridge is for, or 0 */
};

enum { ARGUMENTS_RUN = -1 };

/* ARGUMENTS_RUN, or the exit code after having said what is to be said. */
int arguments_parse(struct arguments *ret, int argc, char **argv);

#endif

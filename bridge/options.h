/* The command line of socks5-bridge. */
#ifndef BRIDGE_OPTIONS_H
#define BRIDGE_OPTIONS_H

#include "addr.h"

struct options {
    const char *file; /* -c, or NULL */
    char *url;        /* -x, or NULL */
    int verbosity;    /* how many -v */
    struct s5_addr listen;     /* --listen; loopback */
    const char *user;          /* --user, or NULL */
    const char *password_file; /* --password-file; there is one where there is a user */
    int tree;                  /* --tree: the process whose tree this bridge is for, or 0 */
};

enum { OPTIONS_RUN = -1 };

/* OPTIONS_RUN, or the exit code after having said what is to be said. */
int options_parse(struct options *ret, int argc, char **argv);

#endif

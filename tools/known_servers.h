/* What earlier runs have learnt of servers. */
#ifndef TOOLS_KNOWN_SERVERS_H
#define TOOLS_KNOWN_SERVERS_H

#include "policy.h"
#include <stdbool.h>
#include <stddef.h>

/* Stores the directory of the server cache in RET: $XDG_CACHE_HOME/socks5, or $HOME/.cache/socks5. Returns false if
 * neither variable names an absolute path. */
bool known_servers_directory(char *ret, size_t size);

/* Returns true if the last run that used SERVER, an entry of P as configured, found it down. RET_TEXT says since when,
 * and *RET_LEFT for how many seconds connections do not try it. Reads the cache at the first call. */
bool known_servers_down(const struct s5_policy *p, const struct s5_server *server, char ret_text[static 128],
                        unsigned *ret_left);

#endif

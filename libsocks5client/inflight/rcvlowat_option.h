/* The option SO_RCVLOWAT as a program sees it. */
#ifndef S5_RCVLOWAT_OPTION_H
#define S5_RCVLOWAT_OPTION_H

#include "engine.h"

/* setsockopt() and getsockopt() of the option. 0 or -errno. */
int s5_rcvlowat_set(struct s5_engine *e, int fd, const void *value, socklen_t len);
int s5_rcvlowat_get(struct s5_engine *e, int fd, void *value, socklen_t *len);

#endif

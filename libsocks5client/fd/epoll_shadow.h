/* epoll registrations of a listener, repeated for its internal descriptors. */
#ifndef S5_EPOLL_SHADOW_H
#define S5_EPOLL_SHADOW_H

#include "engine.h"

/* The registrations of a LISTENING record's names are HIDDEN's too, or no more. */
void s5_epoll_shadow_add(struct s5_engine *e, struct s5_record *record, int internal);
void s5_epoll_shadow_remove(struct s5_engine *e, struct s5_record *record, int internal);

/* What epoll_ctl() did for FD, for its hidden ones too. */
void s5_epoll_shadow_ctl(struct s5_engine *e, int ep, int op, int fd, const struct epoll_event *event);

#endif

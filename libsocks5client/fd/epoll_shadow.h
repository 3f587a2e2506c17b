/* Shadows of a listener's epoll registrations: the same registrations for its internal descriptors. */
#ifndef S5_EPOLL_SHADOW_H
#define S5_EPOLL_SHADOW_H

#include "engine.h"

/* Adds, or removes, the shadows for the descriptor INTERNAL of all registrations of the LISTENING RECORD. Preserve
 * errno. */
void s5_epoll_shadow_add(struct s5_engine *e, struct s5_record *record, int internal);
void s5_epoll_shadow_remove(struct s5_engine *e, struct s5_record *record, int internal);

/* Repeats for the internal descriptors of FD what epoll_ctl() did for FD: OP with EVENT (NULL: none) in the instance
 * EP. Preserves errno. */
void s5_epoll_shadow_ctl(struct s5_engine *e, int ep, int op, int fd, const struct epoll_event *event);

#endif

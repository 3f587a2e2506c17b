/* The verdict on a call that the fence has reported. */
#ifndef TOOLS_JUDGE_H
#define TOOLS_JUDGE_H

#include "filter.h"
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>

/* Returns true if the call may go on: its socket is not of the Internet, or it is a call by socketcall() that a filter
 * with OPTIONS would let pass. Else stores the errno that the call gets in RET_ERROR. */
bool judge_call(const struct seccomp_notif *q, const struct s5_filter_options *options, int *ret_error);

/* Stores in RET what the call is, for people: "connect() to 203.0.113.10:80 (TCP)". */
void judge_describe(const struct seccomp_notif *q, char *ret, size_t size);

/* Whether the call may go on in a network namespace that leads outside through a gateway only: all but sockets that are
 * not of the namespace. */
bool judge_in_namespace(const struct seccomp_notif *q);

#endif

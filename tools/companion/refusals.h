/* Log lines about refused calls: at most ten in a second. */
#ifndef TOOLS_REFUSALS_H
#define TOOLS_REFUSALS_H

#include "policy.h"
#include <linux/seccomp.h>

/* Remembers where the lines of the process tree go, by the policy and by what standard error is now. Its descriptor is
 * not needed later. */
void refusals_begin(const struct s5_policy *policy);

/* Writes a line about the call Q, or counts it. */
void refusals_report(const struct seccomp_notif *q);

/* Writes how many calls were counted and not told. To be called when nothing else is to be done. Returns the number of
 * milliseconds until it is due again; -1: nothing was counted. */
int refusals_flush(void);

#endif

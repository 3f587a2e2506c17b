/* The bridge's log lines. */
#ifndef BRIDGE_JOURNAL_H
#define BRIDGE_JOURNAL_H

#include "log.h"
#include "policy.h"

extern struct s5_log journal_log;

/* To the file P names, else to standard error. */
void journal_begin(const struct s5_policy *p);

#define journal(level, ...) s5_log(&journal_log, level, __VA_ARGS__)

#endif

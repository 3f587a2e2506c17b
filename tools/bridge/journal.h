/* The bridge's log lines. */
#ifndef BRIDGE_JOURNAL_H
#define BRIDGE_JOURNAL_H

#include "log.h"
#include "policy.h"

extern struct s5_log journal_log;

/* Sends log lines to the file that P names, or to standard error. Level and format are those of P. */
void journal_begin(const struct s5_policy *p);

#define journal(level, ...) s5_log(&journal_log, level, __VA_ARGS__)

#endif

/* Log lines of the gateway: they go where those of the commands go. */
#ifndef TOOLS_COMMANDS_LOG_H
#define TOOLS_COMMANDS_LOG_H

#include "handover.h"
#include "log.h"
#include "policy.h"

/* Sends the lines of LOG where P says, or to the standard error of the commands. */
void commands_log_begin(struct s5_log *log, const struct s5_policy *p, const struct handover *h);

/* Adds the command of H, whose standard error may be used. */
void commands_log_add(const struct handover *h);

#endif

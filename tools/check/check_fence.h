/* What --check says about the fence. */
#ifndef TOOLS_CHECK_FENCE_H
#define TOOLS_CHECK_FENCE_H

#include "report.h"

/* Installs a fence in a child, and reports the result. */
void check_fence(struct report *report);

#endif

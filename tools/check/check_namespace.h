/* What --check says about namespaces. */
#ifndef TOOLS_CHECK_NAMESPACE_H
#define TOOLS_CHECK_NAMESPACE_H

#include "report.h"

/* Tries to make a namespace, in a child. Returns NULL if that works, else what is wrong and what the user can do about
 * it. Static storage. */
const char *check_namespace_try(void);

void check_namespace(struct report *report);

#endif

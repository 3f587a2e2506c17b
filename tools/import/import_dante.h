/* Configurations of Dante. */
#ifndef SOCKSIFY_IMPORT_DANTE_H
#define SOCKSIFY_IMPORT_DANTE_H

#include "import_sink.h"

/* Adds what TEXT, NUL-terminated, configures to SINK. */
void import_dante(struct import_sink *sink, const char *text);

#endif

/* Configurations of tsocks. */
#ifndef SOCKSIFY_IMPORT_TSOCKS_H
#define SOCKSIFY_IMPORT_TSOCKS_H

#include "import_sink.h"

/* Adds what TEXT, NUL-terminated, configures to SINK. */
void import_tsocks(struct import_sink *sink, const char *text);

#endif

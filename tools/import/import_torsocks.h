/* Configurations of torsocks. */
#ifndef SOCKSIFY_IMPORT_TORSOCKS_H
#define SOCKSIFY_IMPORT_TORSOCKS_H

#include "import_sink.h"

/* Adds what TEXT, NUL-terminated, configures to SINK. */
void import_torsocks(struct import_sink *sink, const char *text);

#endif

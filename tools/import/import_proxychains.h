/* Configurations of proxychains-ng. */
#ifndef SOCKSIFY_IMPORT_PROXYCHAINS_H
#define SOCKSIFY_IMPORT_PROXYCHAINS_H

#include "import_sink.h"

/* Adds what TEXT, NUL-terminated, configures to SINK. */
void import_proxychains(struct import_sink *sink, const char *text);

#endif

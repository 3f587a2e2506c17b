/* Text without stdio, locale or malloc. */
#ifndef S5_FORMAT_H
#define S5_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* Formats into BUF of SIZE octets, always NUL-terminated. Returns the number of octets before the NUL, after the cut.
 * Supports %s (NULL prints "(null)"), %.*s, %d, %u, %x, %lld, %llu, %c and %%. Any other conversion and everything
 * after it is copied unchanged, because the size of its argument is unknown. Control octets are kept: the text may be
 * a path. */
size_t s5_format(char *buf, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t s5_vformat(char *buf, size_t size, const char *format, va_list args);

/* Replaces each of the LEN octets of TEXT that belongs to a control character (C0, DEL, C1) or is not UTF-8 by "?".
 * Texts of servers, names and configurations could otherwise control a terminal or forge lines. */
void s5_format_clean(char *text, size_t len);

#endif

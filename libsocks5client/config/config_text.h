/* Prepares the text of a configuration file for libconfuse. Calls no system function. */
#ifndef S5_CONFIG_TEXT_H
#define S5_CONFIG_TEXT_H

#include <stddef.h>

#define S5_CONFIG_SECTIONS 512

struct s5_config_text {
    int lines;                             /* of the file; after a fault: the line on which it begins */
    unsigned n_sections;                   /* top-level sections, which have a brace, in the order of the file */
    int section_lines[S5_CONFIG_SECTIONS]; /* the line on which each section opens */
};

/* Replaces the comments in TEXT, LEN octets without a NUL, by blanks and fills in RET. Returns NULL, or the fault in
 * line RET->lines (a static text). */
const char *s5_config_text_prepare(struct s5_config_text *ret, char *text, size_t len);

/* Removes the secret from a FAULT in which libconfuse quotes 'password:secret' as a key. Only the key is kept. */
void s5_config_text_hide_password(char *fault);

#endif

/* The text of a configuration file, before libconfuse reads it. Touches only bytes. */
#ifndef S5_CONFIG_TEXT_H
#define S5_CONFIG_TEXT_H

#include <stddef.h>

#define S5_CONFIG_SECTIONS 512

struct s5_config_text {
    int lines;           /* in the file; where a mistake was found: the line it begins on */
    unsigned n_sections; /* with a brace of their own, in the order of the file */
    int section_lines[S5_CONFIG_SECTIONS];
};

/* Blank the comments of TEXT, LEN octets without a NUL, and tell what RET is for. NULL, or what is
 * wrong in line RET->lines. */
const char *s5_config_text_prepare(struct s5_config_text *ret, char *text, size_t len);

/* Of 'password:secret', which FAULT tells was taken for a key, only the key is shown. */
void s5_config_text_hide_password(char *fault);
/* A fault is one line, whatever it quotes. */
void s5_config_text_flatten(char *fault);

#endif

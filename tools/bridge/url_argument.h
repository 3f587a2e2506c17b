/* A URL on the command line, which may contain a password. */
#ifndef BRIDGE_URL_ARGUMENT_H
#define BRIDGE_URL_ARGUMENT_H

/* Shortens "USER:PASSWORD@" to "USER@" in each of URLS, which are separated by blanks, and overwrites what is cut. */
void url_argument_strip(char *urls);

/* Strips the password from ARGUMENT, a word of argv, and returns a copy that still has it. The copy is not freed.
 * Without memory for it, ARGUMENT itself is returned, unchanged. */
char *url_argument_take(char *argument);

#endif

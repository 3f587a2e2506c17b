/* The user name and the password of a server, from a source or from the environment. */
#ifndef S5_CREDENTIALS_H
#define S5_CREDENTIALS_H

#include "environment.h"
#include "fault.h"
#include "policy.h"

#define S5_CREDENTIALS_WHY 400 /* size of the text of a fault */

/* Stores USERNAME and PASSWORD in SERVER; what is NULL is taken from ENV. Where SERVER has no methods, it gets one:
 * userpass with a user name, else none. The text of a fault begins with WHERE ("FILE:LINE" or the name of a variable).
 * Returns 0, or -EINVAL with RET_FAULT set. */
int s5_credentials_set(struct s5_server *server, const char *username, const char *password,
                       const struct s5_environment *env, const char *where, struct s5_fault *ret_fault);

/* Reads the password file PATH into RET, NUL-terminated. Only the owner of the file may have access to it. One
 * newline at the end is ignored. Returns 0, or -EINVAL with WHY. */
int s5_credentials_read(char ret[256], const char *path, char why[S5_CREDENTIALS_WHY]);

#endif

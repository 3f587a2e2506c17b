/* A server's user name and password, from a source or from the environment; and the faults of both. */
#ifndef S5_CREDENTIALS_H
#define S5_CREDENTIALS_H

#include "log.h"
#include "source.h"

#define S5_CREDENTIALS_WHY 400

/* Formats as s5_format does and returns ERROR. */
#define s5_fault_set(fault, error, ...) (s5_format((fault)->text, sizeof(fault)->text, __VA_ARGS__), (error))

/* USERNAME and PASSWORD into SERVER, the environment's where NULL, and userpass as the method where
 * none was named. WHERE ("FILE:LINE", a variable's name) begins the fault. 0 or -EINVAL. */
int s5_credentials_set(struct s5_server *server, const char *username, const char *password,
                       const struct s5_environment *env, const char *where, struct s5_fault *ret_fault);

/* The password in the file at PATH, which its owner alone can read, into RET with a NUL; a line's
 * end behind it does not count. 0, or -EINVAL and WHY. */
int s5_credentials_read(char ret[256], const char *path, char why[S5_CREDENTIALS_WHY]);

#endif

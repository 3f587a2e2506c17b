/* RFC 1929 requires a user name and a password, each of 1 to 255 octets. What a source does not give is taken from the
 * environment. */
#include "credentials.h"
#include "environment.h"
#include "file.h"
#include <errno.h>
#include <string.h>

enum { NONE = 0, USERPASS = 2 }; /* RFC 1928's method numbers */

static bool has_method(const struct s5_server *server, uint8_t method)
{
    return memchr(server->methods, method, server->n_methods) != NULL;
}

static int set_username_password(struct s5_server *server, const char *username, const char *password,
                                 const char *where, struct s5_fault *ret_fault)
{
    size_t n = username ? strlen(username) : 0, m = password ? strlen(password) : 0;
    if (n == 0)
        return s5_fault_set(ret_fault, -EINVAL, "%s: method \"userpass\" without a username", where);
    if (m == 0)
        return s5_fault_set(ret_fault, -EINVAL, "%s: username without a password", where);
    if (n > sizeof server->username || m > sizeof server->password)
        return s5_fault_set(ret_fault, -EINVAL, "%s: %s longer than 255 octets", where,
                            n > sizeof server->username ? "username" : "password");
    memcpy(server->username, username, n);
    memcpy(server->password, password, m);
    server->username_len = (uint8_t)n;
    server->password_len = (uint8_t)m;
    return 0;
}

int s5_credentials_set(struct s5_server *server, const char *username, const char *password,
                       const struct s5_environment *env, const char *where, struct s5_fault *ret_fault)
{
    bool named = username != NULL, has_userpass = server->n_methods && has_method(server, USERPASS);
    if (!username && (has_userpass || (!server->n_methods && env->password)))
        username = env->user;
    if (username && !password && (has_userpass || !server->n_methods))
        password = env->password;
    if (!server->n_methods)
        server->methods[server->n_methods++] = username ? USERPASS : NONE;
    if (!named && !has_method(server, USERPASS))
        return 0;
    if (!username && server->isolate & ~S5_ISOLATE_NONE) /* the user name is generated, see isolation.h */
        return 0;
    if (!has_method(server, USERPASS))
        return s5_fault_set(ret_fault, -EINVAL, "%s: username given, but \"userpass\" is not among the methods", where);
    return set_username_password(server, username, password, where, ret_fault);
}

int s5_credentials_read(char ret[256], const char *path, char why[S5_CREDENTIALS_WHY])
{
    struct s5_file file = {.text = NULL};
    const char *reason;
    if (s5_file_read(&file, path, 4096, 1, &reason) < 0) {
        s5_format(why, S5_CREDENTIALS_WHY, "%s: %s", path, reason);
        return -EINVAL;
    }
    size_t len = file.len - (file.len > 0 && file.text[file.len - 1] == '\n');
    int r = -EINVAL;
    if (file.mode & 077)
        s5_format(why, S5_CREDENTIALS_WHY, "others can read this file: chmod 600 %s", path);
    else if (len < 1 || len > 255)
        s5_format(why, S5_CREDENTIALS_WHY, "%s: not 1 to 255 octets", path);
    else {
        memcpy(ret, file.text, len);
        ret[len] = '\0';
        r = 0;
    }
    s5_file_free(&file);
    return r;
}

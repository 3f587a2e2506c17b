/* A stand-alone bridge reads the configuration itself. It prints every error before it serves a client. */
#include "alone.h"
#include "format.h"
#include "journal.h"
#include "log.h"
#include "server.h"
#include "source.h"
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int print_error(const char *what, const char *why)
{
    char line[S5_FAULT_MAX];
    size_t n = s5_format(line, sizeof line, "socks5-bridge: %s: %s", what, why);
    s5_format_clean(line, n);
    fprintf(stderr, "%s\n", line);
    return 125;
}

static int resolve_server(const char *host, struct s5_server *server)
{
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(host, NULL, &hints, &list);
    if (error != 0)
        return print_error(host, gai_strerror(error));
    s5_server_keep(server, list);
    freeaddrinfo(list);
    return 0;
}

int alone_resolve(struct s5_policy *p)
{
    int code = 0;
    for (size_t i = 0; i < p->n_servers; i++) {
        struct s5_server *server = &p->servers[i];
        bool resolved = server->is_path || server->retired || server->n_addrs > 0;
        if (server->n_hops > 0 && !server->retired)
            code = print_error(s5_policy_text(p, server->name), "socks5-bridge does not support chains");
        else if (!resolved && resolve_server(s5_policy_text(p, server->host), server) != 0)
            code = 125;
    }
    return code;
}

/* Reads the password from the first line of the file at PATH. Group and others may have no access to the file. Returns
 * 0, or 125 after it prints what is wrong. */
static int read_password(const char *path, struct front_users *ret)
{
    static char password[257];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return print_error(path, "cannot be read");
    if (st.st_mode & 077)
        return print_error(path, "others can read this file: chmod 600");
    ssize_t n = read(fd, password, sizeof password - 1);
    close(fd);
    password[n > 0 ? n : 0] = '\0';
    password[strcspn(password, "\r\n")] = '\0';
    size_t len = strlen(password);
    if (len < 1 || len > 255)
        return print_error(path, "not a password of 1 to 255 octets");
    ret->password = password;
    return 0;
}

static int read_policy(struct s5_policy *ret, const struct arguments *options, struct s5_fault *ret_fault)
{
    const char *const urls[] = {options->url, NULL};
    struct s5_source source = {.file = options->file, .urls = options->url ? urls : NULL};
    s5_environment_read(&source.env, environ);
    int result = s5_source_load(ret, &source, ret_fault);
    if (options->verbosity > 0)
        ret->log_level = options->verbosity > 1 ? S5_LOG_DEBUG : S5_LOG_INFO;
    return result;
}

int alone_reload(struct s5_policy *ret, const struct arguments *options)
{
    struct s5_fault fault = {""};
    if (read_policy(ret, options, &fault) < 0) {
        journal(S5_LOG_ERROR, "reload: %s", fault.text);
        return 125;
    }
    return alone_resolve(ret);
}

int alone_load(struct s5_policy *ret, struct front_users *ret_users, const struct arguments *options)
{
    struct s5_fault fault = {""};
    if (read_policy(ret, options, &fault) < 0) {
        s5_format_clean(fault.text, strlen(fault.text));
        fprintf(stderr, "socks5-bridge: %s\n", fault.text);
        return 125;
    }
    if (alone_resolve(ret) != 0)
        return 125;
    *ret_users = (struct front_users){.user = options->user};
    return options->user ? read_password(options->password_file, ret_users) : 0;
}

/* Where a policy comes from: command line, SOCKS5_CONF, proxy variables, the user's file, the
 * system's file, in that order; never the current directory. */
#ifndef S5_SOURCE_H
#define S5_SOURCE_H

#include "policy.h"

#define S5_FAULT_MAX 512

/* What is wrong, for a person: "FILE:LINE: WHAT", or "VARIABLE: WHAT". Never holds a secret. */
struct s5_fault {
    char text[S5_FAULT_MAX];
};

/* The environment as it was when the process began. Values are not owned; NULL: not set. */
struct s5_environment {
    const char *socks5_conf;   /* SOCKS5_CONF */
    const char *socks5_server; /* SOCKS5_SERVER */
    const char *socks_server;  /* SOCKS_SERVER */
    const char *all_proxy;     /* ALL_PROXY, else all_proxy; only socks5:// and socks5h:// count */
    const char *no_proxy;      /* NO_PROXY, else no_proxy */
    const char *user;          /* SOCKS5_USER */
    const char *password;      /* SOCKS5_PASSWD */
    const char *isolate;       /* SOCKS5_ISOLATE */
    const char *xdg_config_home, *home;
};

struct s5_source {
    const char *file; /* -c, or NULL */
    const char *url;  /* -x, or NULL */
    struct s5_environment env;
};

/* Fill RET from ENVIRON-style strings "NAME=VALUE". */
void s5_environment_read(struct s5_environment *ret, char *const *environ_strings);

/* 0, or a negative errno with RET_FAULT filled in; -ENOENT: no configuration at all. Reads files
 * with open/read/fstat, loads libconfuse for files alone. P is undefined on failure. */
int s5_source_load(struct s5_policy *p, const struct s5_source *source, struct s5_fault *ret_fault);

/* One number for all that SOURCE.env would lead to: processes with the same share a policy. */
uint64_t s5_source_fingerprint(const struct s5_environment *env);

/* A file in libconfuse syntax. The only file that names confuse.h is behind it. */
int s5_config_load(struct s5_policy *p, const char *path, const struct s5_environment *env,
                   struct s5_fault *ret_fault);

/* socks5[h]://[user[:password]@]host[:port], percent-encoded user and password, host a name, IPv4,
 * [IPv6] or localhost/path.sock for a UNIX socket; a bare host[:port] counts as socks5h://. WHERE
 * names the origin in faults. Adds the server, the NO_PROXY rule (when not NULL), and the rule
 * that leads everything else there. */
int s5_url_load(struct s5_policy *p, const char *url, const char *where,
                const struct s5_environment *env, struct s5_fault *ret_fault);

#endif

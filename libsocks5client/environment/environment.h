/* The environment variables that select a configuration. */
#ifndef S5_ENVIRONMENT_H
#define S5_ENVIRONMENT_H

#include <stdint.h>

/* The environment as it was when the process started. Values are not owned; NULL: not set. */
struct s5_environment {
    const char *socks5_conf;   /* SOCKS5_CONF */
    const char *socks5_server; /* SOCKS5_SERVER */
    const char *socks_server;  /* SOCKS_SERVER */
    const char *all_proxy;     /* ALL_PROXY, else all_proxy; only a socks5:// or socks5h:// URL */
    const char *no_proxy;      /* NO_PROXY, else no_proxy */
    const char *user;          /* SOCKS5_USER */
    const char *password;      /* SOCKS5_PASSWD */
    const char *isolate;       /* SOCKS5_ISOLATE */
    const char *xdg_config_home, *home;
};

/* Fills RET from the strings "NAME=VALUE" of an environ-style array. RET points into these strings. */
void s5_environment_read(struct s5_environment *ret, char *const *environ_strings);

/* Returns a hash of the variables of ENV that select a policy. Processes with the same hash share a policy. */
uint64_t s5_source_fingerprint(const struct s5_environment *env);

#endif

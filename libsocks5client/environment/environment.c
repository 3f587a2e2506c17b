/* Reads the environment variables that select a policy, as they were when the process started. */
#include "environment.h"
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char *find_value(char *const *strings, const char *name)
{
    size_t n = strlen(name);
    for (; strings && *strings; strings++)
        if (strncmp(*strings, name, n) == 0 && (*strings)[n] == '=')
            return *strings + n + 1;
    return NULL;
}

/* Returns the value of NAME; NULL: not set, or empty. */
static const char *get_value(char *const *strings, const char *name)
{
    const char *value = find_value(strings, name);
    return value && *value ? value : NULL;
}

static bool is_socks5(const char *url)
{
    return strncasecmp(url, "socks5://", 9) == 0 || strncasecmp(url, "socks5h://", 10) == 0;
}

static const char *get_either_value(char *const *strings, const char *upper, const char *lower)
{
    const char *value = get_value(strings, upper);
    return value ? value : get_value(strings, lower);
}

void s5_environment_read(struct s5_environment *ret, char *const *strings)
{
    const char *all = get_either_value(strings, "ALL_PROXY", "all_proxy");
    *ret = (struct s5_environment){
        .socks5_conf = get_value(strings, "SOCKS5_CONF"),
        .socks5_server = get_value(strings, "SOCKS5_SERVER"),
        .socks_server = get_value(strings, "SOCKS_SERVER"),
        .all_proxy = all && is_socks5(all) ? all : NULL,
        .no_proxy = get_either_value(strings, "NO_PROXY", "no_proxy"),
        .user = get_value(strings, "SOCKS5_USER"),
        .password = get_value(strings, "SOCKS5_PASSWD"),
        .isolate = get_value(strings, "SOCKS5_ISOLATE"),
        .xdg_config_home = get_value(strings, "XDG_CONFIG_HOME"),
        .home = get_value(strings, "HOME"),
    };
}

static uint64_t mix_value(uint64_t hash, const char *value)
{
    for (; value && *value; value++)
        hash = (hash ^ (uint8_t)*value) * 0x100000001b3ull; /* FNV-1a */
    return (hash ^ (value ? 0x100 : 0x200)) * 0x100000001b3ull;
}

/* HOME and XDG_CONFIG_HOME are not included: a program of the process tree that changes them (sudo -H, a login) keeps
 * the policy of the process tree. */
uint64_t s5_source_fingerprint(const struct s5_environment *env)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    hash = mix_value(hash, env->socks5_conf);
    hash = mix_value(hash, env->socks5_server);
    hash = mix_value(hash, env->socks_server);
    hash = mix_value(hash, env->all_proxy);
    hash = mix_value(hash, env->no_proxy);
    hash = mix_value(hash, env->user);
    hash = mix_value(hash, env->password);
    return mix_value(hash, env->isolate);
}

/* The variables that lead to a policy, as they were when the process began. */
#include "environment.h"
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char *value_of(char *const *strings, const char *name)
{
    size_t n = strlen(name);
    for (; strings && *strings; strings++)
        if (strncmp(*strings, name, n) == 0 && (*strings)[n] == '=')
            return *strings + n + 1;
    return NULL;
}

/* An empty value counts as none. */
static const char *set(char *const *strings, const char *name)
{
    const char *value = value_of(strings, name);
    return value && *value ? value : NULL;
}

static bool is_socks5(const char *url)
{
    return strncasecmp(url, "socks5://", 9) == 0 || strncasecmp(url, "socks5h://", 10) == 0;
}

static const char *either(char *const *strings, const char *upper, const char *lower)
{
    const char *value = set(strings, upper);
    return value ? value : set(strings, lower);
}

void s5_environment_read(struct s5_environment *ret, char *const *strings)
{
    const char *all = either(strings, "ALL_PROXY", "all_proxy");
    *ret = (struct s5_environment){
        .socks5_conf = set(strings, "SOCKS5_CONF"),
        .socks5_server = set(strings, "SOCKS5_SERVER"),
        .socks_server = set(strings, "SOCKS_SERVER"),
        .all_proxy = all && is_socks5(all) ? all : NULL,
        .no_proxy = either(strings, "NO_PROXY", "no_proxy"),
        .user = set(strings, "SOCKS5_USER"),
        .password = set(strings, "SOCKS5_PASSWD"),
        .isolate = set(strings, "SOCKS5_ISOLATE"),
        .xdg_config_home = set(strings, "XDG_CONFIG_HOME"),
        .home = set(strings, "HOME"),
    };
}

static uint64_t mix(uint64_t hash, const char *value)
{
    for (; value && *value; value++)
        hash = (hash ^ (uint8_t)*value) * 0x100000001b3ull; /* FNV-1a */
    return (hash ^ (value ? 0x100 : 0x200)) * 0x100000001b3ull;
}

/* HOME and XDG_CONFIG_HOME stay out: a program of the tree that changes them (sudo -H, a login)
 * stays under the tree's policy. */
uint64_t s5_source_fingerprint(const struct s5_environment *env)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    hash = mix(hash, env->socks5_conf);
    hash = mix(hash, env->socks5_server);
    hash = mix(hash, env->socks_server);
    hash = mix(hash, env->all_proxy);
    hash = mix(hash, env->no_proxy);
    hash = mix(hash, env->user);
    hash = mix(hash, env->password);
    return mix(hash, env->isolate);
}

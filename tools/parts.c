#include "parts.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void parts_find_in_build(char *ret, size_t size, const char *tail)
{
    size_t len = strlen(tail) + 1;
    ssize_t n = readlink("/proc/self/exe", ret, size);
    ret[n > 0 && (size_t)n < size ? n : 0] = '\0';
    char *slash = strrchr(ret, '/');
    if (slash)
        *slash = '\0';
    slash = strrchr(ret, '/');
    if (!slash || (size_t)(slash - ret) + len > size) {
        ret[0] = '\0';
        return;
    }
    memcpy(slash, tail, len);
    if (access(ret, R_OK) < 0)
        ret[0] = '\0';
}

static const char *find_part(char *path, const char *tail, const char *installed)
{
    if (*path == '\0')
        parts_find_in_build(path, PATH_MAX, tail);
    if (*path == '\0')
        snprintf(path, PATH_MAX, "%s", installed);
    return path;
}

const char *parts_bridge(void)
{
    static char path[PATH_MAX];
    return find_part(path, "/tools/bridge/socks5-bridge", BRIDGE_PATH);
}

const char *parts_reach(void)
{
    static char path[PATH_MAX];
    return find_part(path, "/tools/reach/socks5-reach", REACH_PATH);
}

const char *parts_gateway(void)
{
    static char path[PATH_MAX];
    return find_part(path, "/tools/gateway/socks5-gateway", GATEWAY_PATH);
}

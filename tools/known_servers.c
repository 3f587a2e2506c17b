#include "known_servers.h"

#include "clock.h"
#include "server_cache.h"
#include <stdio.h>
#include <stdlib.h>

bool known_servers_directory(char *ret, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (cache && *cache == '/')
        n = snprintf(ret, size, "%s/socks5", cache);
    else if (home && *home == '/')
        n = snprintf(ret, size, "%s/.cache/socks5", home);
    return n > 0 && (size_t)n < size;
}

static const struct s5_server_cache_entry *get_table(void)
{
    static struct s5_server_cache_entry table[S5_SERVER_CACHE_ENTRIES];
    static bool known;
    char directory[S5_SERVER_CACHE_PATH];
    if (!known && known_servers_directory(directory, sizeof(directory)))
        s5_server_cache_read(table, directory);
    known = true;
    return table;
}

/* Writes SECONDS in the unit that a reader needs. */
static void print_age(char *ret, size_t size, unsigned long long seconds)
{
    if (seconds < 120)
        snprintf(ret, size, "%llu s", seconds);
    else if (seconds < 2 * 3600)
        snprintf(ret, size, "%llu min", seconds / 60);
    else
        snprintf(ret, size, "%llu h", seconds / 3600);
}

bool known_servers_down(const struct s5_policy *p, const struct s5_server *server, char ret_text[static 128],
                        unsigned *ret_left)
{
    uint64_t now = (uint64_t)s5_clock_wall_ms();
    struct s5_server_down down;
    char age[32];
    if (!s5_server_cache_get_down(get_table(), s5_server_cache_key(p, server), now, &down))
        return false;
    print_age(age, sizeof(age), now > down.last ? (now - down.last) / 1000 : 0);
    snprintf(ret_text, 128, "it failed %u times in a row, the last time %s ago", down.failures, age);
    if (down.failures == 1)
        snprintf(ret_text, 128, "it failed %s ago", age);
    *ret_left = (down.left + 999) / 1000;
    return true;
}

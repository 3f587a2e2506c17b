/* The hosts file is not read for every name. Its names are bits of a filter. A name whose bit is not set is not in
 * the file; for any other name the file is searched. The file and the interfaces are checked for changes at most
 * once a second. When the file has changed, its bits are added to the filter. Old bits are kept; they only cost a
 * search. */
#include "hosts.h"
#include "clock.h"
#include "word_reader.h"
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#define HOSTS     "/etc/hosts"
#define ORDER     "/etc/nsswitch.conf"
#define BITS      131072u
#define WORD_BITS 64u

static struct {
    _Atomic uint64_t filter[BITS / WORD_BITS];
    _Atomic uint64_t stamp;       /* of the hosts file whose bits are in the filter; 0: none yet */
    _Atomic uint64_t order_stamp; /* of the file that QUERIES_FIRST is from; 0: none yet */
    _Atomic int64_t second;       /* time of the last check, + 1; 0: never */
    _Atomic uint32_t ipv6;        /* IPV6_* of all interfaces */
    _Atomic bool queries_first;   /* libc asks a name server before it reads the hosts file, see nsswitch.conf(5) */
} local;

/* Ignores the case of letters. It also merges some other octets, which only costs a search. */
static uint64_t hash_name(const char *name, size_t len)
{
    uint64_t hash = len;
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, name + i, len - i < 8 ? len - i : 8);
        hash = (hash ^ (word | 0x2020202020202020ull)) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return hash;
}

static bool add_to_filter(void *user, unsigned at, const char *word, size_t len)
{
    (void)user;
    uint64_t bit = hash_name(word, len) % BITS;
    if (at > 0)
        atomic_fetch_or_explicit(&local.filter[bit / WORD_BITS], 1ull << bit % WORD_BITS, memory_order_release);
    return false;
}

struct found6 {
    bool skip;      /* the current line is the one of ::1 */
    unsigned flags; /* IPV6_* */
};
enum { IPV6_ANY = 1, IPV6_GLOBAL = 2 };

/* Parses a line of /proc/net/if_inet6: address, index, prefix, scope, flags, name. */
static bool parse_interface(void *user, unsigned at, const char *word, size_t len)
{
    struct found6 *found = user;
    if (at == 0)
        found->skip = len != 32 || memcmp(word, "00000000000000000000000000000001", 32) == 0;
    if (at == 3 && !found->skip)
        found->flags |= IPV6_ANY | (len == 2 && memcmp(word, "00", 2) == 0 ? IPV6_GLOBAL : 0);
    return false;
}

/* --- the order of the sources of names --- */

struct order {
    bool hosts;       /* the current line is the one of host names */
    bool decided;     /* a source that is not skipped was found: */
    bool files_first; /* it is the hosts file */
    bool continued;   /* libc may ask the next source although it has found the name */
};

/* Returns true if a source asks no name server for a name that is in the hosts file. */
static bool is_local_source(const char *word, size_t len)
{
    static const char *const names[] = {"mymachines", "myhostname", "resolve"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == len && memcmp(names[i], word, len) == 0)
            return true;
    return false;
}

/* Parses /etc/nsswitch.conf. The words with '=' or in brackets are actions: "[NOTFOUND=return]". */
static bool parse_order(void *user, unsigned at, const char *word, size_t len)
{
    struct order *o = user;
    const char *equals = memchr(word, '=', len);
    bool last = !equals || equals + 1 == word + len;
    if (at == 0)
        o->hosts = len == 6 && strncasecmp(word, "hosts:", 6) == 0;
    else if (!o->hosts)
        return false;
    else if (equals)
        o->continued |= !last && o->files_first && strchr("cCmM", equals[1]); /* continue, merge */
    else if (!o->decided && word[0] != '[' && word[len - 1] != ']') {
        o->decided = !is_local_source(word, len);
        o->files_first = len == 5 && memcmp(word, "files", 5) == 0;
    }
    return false;
}

/* Returns false if the file names no source: it could not be opened, for instance, because descriptors ran out. */
static bool read_order(void)
{
    struct order o = {.decided = false};
    s5_word_reader_each(ORDER, parse_order, &o);
    atomic_store(&local.queries_first, o.decided && (!o.files_first || o.continued));
    return o.decided;
}

/* Returns true if the file PATH is not the one that STAMP stands for, and stores the stamp of the present one in RET. A
 * file that does not exist has the stamp 1. */
static bool has_changed(const char *path, _Atomic uint64_t *stamp, uint64_t *ret)
{
    struct stat st;
    *ret = 1;
    if (stat(path, &st) == 0)
        *ret = ((uint64_t)st.st_mtim.tv_sec * 1000003 + (uint64_t)st.st_mtim.tv_nsec) * 31 + (uint64_t)st.st_ino * 17 +
               (uint64_t)st.st_size + 2;
    return *ret != atomic_load(stamp);
}

static void reload_files(void)
{
    uint64_t stamp;
    if (has_changed(HOSTS, &local.stamp, &stamp)) {
        s5_word_reader_each(HOSTS, add_to_filter, NULL);
        atomic_store(&local.stamp, stamp);
    }
    if (has_changed(ORDER, &local.order_stamp, &stamp) && read_order())
        atomic_store(&local.order_stamp, stamp);
    struct found6 found = {0};
    s5_word_reader_each("/proc/net/if_inet6", parse_interface, &found);
    atomic_store(&local.ipv6, found.flags);
}

static void refresh_files(void)
{
    int64_t second = (int64_t)(s5_clock_coarse() / S5_CLOCK_SECOND) + 1;
    if (atomic_load_explicit(&local.second, memory_order_acquire) == second)
        return;
    reload_files();
    atomic_store_explicit(&local.second, second, memory_order_release);
}

/* --- the hosts file --- */

struct search {
    const char *name; /* NULL: search for ADDR */
    const struct s5_addr *addr;
    size_t len;
    unsigned line;  /* S5_HOSTS_* that the address of the current line answers */
    unsigned found; /* S5_HOSTS_* */
};

static bool compare_word(void *user, unsigned at, const char *word, size_t len)
{
    struct search *s = user;
    struct s5_addr addr;
    if (at > 0) {
        if (s->name && len == s->len && strncasecmp(word, s->name, len) == 0)
            s->found |= s->line;
        return false;
    }
    s->line = 0;
    /* libc skips a line whose address has brackets or a scope. */
    if (word[0] == '[' || s5_addr_parse(&addr, word, len, 0) < 0 || addr.kind == S5_ADDR_NAME)
        return false;
    if (!s->name)
        return s5_addr_equal(&addr, s->addr);
    s->line = addr.kind == S5_ADDR_IPV4 ? S5_HOSTS_V4 : S5_HOSTS_V6;
    if (addr.kind == S5_ADDR_IPV6 && s5_addr_is_loopback(&addr))
        s->line |= S5_HOSTS_V4; /* libc returns 127.0.0.1 for ::1 in an IPv4 lookup */
    return false;
}

unsigned s5_hosts_hosts(const char *name)
{
    struct search s = {.name = name, .len = strlen(name)};
    refresh_files();
    if (atomic_load_explicit(&local.queries_first, memory_order_acquire))
        return 0;
    uint64_t bit = hash_name(name, s.len) % BITS;
    if (atomic_load_explicit(&local.filter[bit / WORD_BITS], memory_order_acquire) >> bit % WORD_BITS & 1)
        s5_word_reader_each(HOSTS, compare_word, &s);
    return s.found;
}

bool s5_hosts_has_address(const struct s5_addr *addr)
{
    struct s5_addr bare = *addr;
    struct search s = {.addr = &bare};
    bare.port = 0;
    refresh_files();
    if (atomic_load_explicit(&local.queries_first, memory_order_acquire))
        return false;
    return s5_word_reader_each(HOSTS, compare_word, &s);
}

bool s5_hosts_has_ipv6(void)
{
    refresh_files();
    return atomic_load_explicit(&local.ipv6, memory_order_acquire) & IPV6_ANY;
}

bool s5_hosts_prefers_ipv6(void)
{
    refresh_files();
    return atomic_load_explicit(&local.ipv6, memory_order_acquire) & IPV6_GLOBAL;
}

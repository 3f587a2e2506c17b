/* A small open-addressing table, which processes may share. A full table keeps its entries and takes no new ones.
 * Its file has a line for each change, "SECONDS KEY VALUE", appended with one write so that lines of several processes
 * do not mix. VALUE is one of enum s5_pipelining_support, or LINE_UP and above. socksify reads the file at start,
 * ignores lines older than a week, and writes the file again when it has reached FILE_MAX. */
#include "server_cache.h"
#include "in_engine.h"
#include "log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WEEK     (7 * 24 * 3600)
#define FILE_MAX (64 * 1024) /* octets read at most; a file of that size is written again */
#define LINE_UP  16          /* the server works; LINE_UP + N: it was down N times in a row */
#define DOWN_MAX 7           /* N at most */

uint64_t s5_server_cache_key(const struct s5_policy *p, const struct s5_server *server)
{
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */
    for (const char *c = s5_policy_text(p, server->host); *c; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3ull;
    hash = (hash ^ (server->port & 0xff)) * 0x100000001b3ull;
    hash = (hash ^ (server->port >> 8)) * 0x100000001b3ull;
    for (unsigned i = 0; i < server->username_len; i++)
        hash = (hash ^ (uint8_t)server->username[i]) * 0x100000001b3ull;
    for (unsigned i = 0; i < server->n_hops; i++)
        hash = (hash ^ s5_server_cache_key(p, &p->servers[p->vias[server->hops_first + i]])) * 0x100000001b3ull;
    return hash ? hash : 1;
}

static struct s5_server_cache_entry *find_entry(struct s5_server_cache_entry *table, uint64_t key, int make)
{
    for (unsigned i = 0; i < S5_SERVER_CACHE_ENTRIES; i++) {
        struct s5_server_cache_entry *s = &table[(key + i) % S5_SERVER_CACHE_ENTRIES];
        uint64_t have = atomic_load_explicit(&s->key, memory_order_acquire);
        if (have == 0 && make && atomic_compare_exchange_strong(&s->key, &have, key))
            return s;
        if (have == key)
            return s;
        if (have == 0 && !make)
            return NULL;
    }
    return NULL;
}

enum s5_pipelining_support s5_server_cache_pipelining(const struct s5_server_cache_entry *table, uint64_t key)
{
    struct s5_server_cache_entry *s = find_entry((struct s5_server_cache_entry *)(uintptr_t)table, key, 0);
    return s ? (enum s5_pipelining_support)atomic_load(&s->pipelining) : S5_PIPELINING_UNKNOWN;
}

static int open_directory(const char *path, size_t len)
{
    char directory[S5_SERVER_CACHE_PATH];
    struct stat st;
    s5_format(directory, sizeof directory, "%.*s", (int)len, path);
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || (fstat(fd, &st) == 0 && st.st_uid == geteuid()))
        return fd;
    syscall(SYS_close, fd); /* by number, past any hook */
    return -1;
}

/* Opens the file PATH with FLAGS. Its directory must belong to this user and neither may be a symbolic link: another
 * user could choose which file is written. Returns a descriptor or -1. */
static int open_file(const char *path, int flags)
{
    const char *slash = strrchr(path, '/');
    int directory = slash ? open_directory(path, (size_t)(slash - path)) : -1;
    if (directory < 0)
        return -1;
    int fd = openat(directory, slash + 1, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    syscall(SYS_close, directory);
    return fd;
}

static void append_line(const char *path, time_t when, uint64_t key, unsigned value)
{
    char line[64];
    size_t n = s5_format(line, sizeof line, "%llu %llu %u\n", (unsigned long long)when, (unsigned long long)key, value);
    int fd = path[0] ? open_file(path, O_WRONLY | O_APPEND | O_CREAT) : -1;
    if (fd < 0)
        return;
    s5_in_engine_write(fd, line, n);
    syscall(SYS_close, fd);
}

void s5_server_cache_set_pipelining(struct s5_server_cache_entry *table, const char *path, uint64_t key,
                                    enum s5_pipelining_support support)
{
    struct s5_server_cache_entry *s = find_entry(table, key, 1);
    if (!s || atomic_exchange(&s->pipelining, support) == support)
        return;
    int saved = errno;
    append_line(path, time(NULL), key, support);
    errno = saved;
}

/* --- servers that are down --- */

/* How long (ms) a server is not tried after it was down N times in a row. */
static uint32_t get_pause(unsigned n)
{
    return n < DOWN_MAX ? 1000u << (n - 1) : 60000;
}

/* Returns how long (ms) DOWN says that the server is not tried. Times too far ahead are those of a clock that was set
 * back. */
static uint32_t get_time_left(uint64_t down, uint64_t now)
{
    uint64_t until = down >> 8;
    return down && until > now && until - now <= 3600 * 1000 ? (uint32_t)(until - now) : 0;
}

static unsigned count_failures(uint64_t down)
{
    return down & 0xff;
}

uint32_t s5_server_cache_down_for(const struct s5_server_cache_entry *table, uint64_t key, uint64_t now)
{
    struct s5_server_cache_entry *s = find_entry((struct s5_server_cache_entry *)(uintptr_t)table, key, 0);
    return s ? get_time_left(atomic_load(&s->down), now) : 0;
}

bool s5_server_cache_get_down(const struct s5_server_cache_entry *table, uint64_t key, uint64_t now,
                              struct s5_server_down *ret)
{
    struct s5_server_cache_entry *s = find_entry((struct s5_server_cache_entry *)(uintptr_t)table, key, 0);
    uint64_t down = s ? atomic_load(&s->down) : 0;
    unsigned n = count_failures(down);
    if (!n)
        return false;
    *ret = (struct s5_server_down){n, (down >> 8) - get_pause(n), get_time_left(down, now)};
    return true;
}

enum s5_server_state s5_server_cache_try(struct s5_server_cache_entry *table, uint64_t key, uint64_t now,
                                         uint32_t for_ms)
{
    struct s5_server_cache_entry *s = find_entry(table, key, 0);
    uint64_t down = s ? atomic_load(&s->down) : 0;
    if (!down)
        return S5_SERVER_UP;
    if (get_time_left(down, now))
        return S5_SERVER_DOWN;
    uint64_t claimed = (now + for_ms) << 8 | count_failures(down);
    return atomic_compare_exchange_strong(&s->down, &down, claimed) ? S5_SERVER_TO_PROBE : S5_SERVER_DOWN;
}

void s5_server_cache_set_down(struct s5_server_cache_entry *table, const char *path, uint64_t key, uint64_t now,
                              bool probe)
{
    struct s5_server_cache_entry *s = find_entry(table, key, 1);
    uint64_t down = s ? atomic_load(&s->down) : 0;
    if (!s || (!probe && get_time_left(down, now)))
        return;
    unsigned n = count_failures(down) < DOWN_MAX ? count_failures(down) + 1 : DOWN_MAX;
    if (!atomic_compare_exchange_strong(&s->down, &down, (now + get_pause(n)) << 8 | n))
        return; /* another connection was first */
    int saved = errno;
    append_line(path, (time_t)(now / 1000), key, LINE_UP + n);
    errno = saved;
}

void s5_server_cache_set_up(struct s5_server_cache_entry *table, const char *path, uint64_t key)
{
    struct s5_server_cache_entry *s = find_entry(table, key, 0);
    if (!s)
        return;
    if (atomic_load_explicit(&s->closed, memory_order_relaxed))
        atomic_store_explicit(&s->closed, 0, memory_order_relaxed);
    if (!atomic_load(&s->down) || !atomic_exchange(&s->down, 0))
        return;
    int saved = errno;
    append_line(path, time(NULL), key, LINE_UP);
    errno = saved;
}

uint32_t s5_server_cache_count_closed(struct s5_server_cache_entry *table, uint64_t key)
{
    struct s5_server_cache_entry *s = find_entry(table, key, 1);
    return s ? atomic_fetch_add(&s->closed, 1) + 1 : 0;
}

/* --- the file --- */

/* A line has whole seconds. The server is not tried for one more, so that it is not tried too early. */
static uint64_t make_down(unsigned n, uint64_t when)
{
    return n ? ((when + 1) * 1000 + get_pause(n)) << 8 | n : 0;
}

static void parse_lines(struct s5_server_cache_entry *table, char *text, time_t now)
{
    unsigned long long when, key;
    unsigned value;
    char *next;
    for (char *line = text; (next = strchr(line, '\n')); line = next + 1) {
        *next = 0;
        if (sscanf(line, "%llu %llu %u", &when, &key, &value) != 3 || key == 0 || value > LINE_UP + DOWN_MAX ||
            (value > S5_PIPELINING_UNSUPPORTED && value < LINE_UP) || when > (unsigned long long)now ||
            when + WEEK < (unsigned long long)now)
            continue;
        struct s5_server_cache_entry *s = find_entry(table, key, 1);
        if (s && value >= LINE_UP)
            atomic_store(&s->down, make_down(value - LINE_UP, when));
        else if (s)
            atomic_store(&s->pipelining, value);
    }
}

static void rewrite_file(struct s5_server_cache_entry *table, const char *path)
{
    time_t now = time(NULL);
    unlink(path);
    for (unsigned i = 0; i < S5_SERVER_CACHE_ENTRIES; i++) {
        uint64_t key = atomic_load(&table[i].key), down = atomic_load(&table[i].down);
        unsigned n = count_failures(down);
        if (key && atomic_load(&table[i].pipelining))
            append_line(path, now, key, atomic_load(&table[i].pipelining));
        if (key && n)
            append_line(path, (time_t)(((down >> 8) - get_pause(n)) / 1000 - 1), key, LINE_UP + n);
    }
}

/* Makes DIRECTORY and its parents where they are missing. */
static void make_directories(const char *directory)
{
    char path[S5_SERVER_CACHE_PATH];
    s5_format(path, sizeof path, "%s", directory);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    mkdir(path, 0700);
}

/* Stores the path of the file in RET; "": it is too long. */
static void make_path(const char *directory, char ret[static S5_SERVER_CACHE_PATH])
{
    if (s5_format(ret, S5_SERVER_CACHE_PATH, "%s/servers", directory) >= S5_SERVER_CACHE_PATH - 1)
        ret[0] = 0;
}

/* Reads the file PATH into TABLE. Returns true if the file has reached its largest size. */
static bool read_file(struct s5_server_cache_entry *table, const char *path)
{
    static char text[FILE_MAX + 1]; /* only socksify calls this, once */
    int fd = open_file(path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, FILE_MAX);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    parse_lines(table, text, time(NULL));
    return n == FILE_MAX;
}

void s5_server_cache_read(struct s5_server_cache_entry *table, const char *directory)
{
    char path[S5_SERVER_CACHE_PATH];
    make_path(directory, path);
    if (path[0])
        read_file(table, path);
}

void s5_server_cache_open(struct s5_server_cache_entry *table, const char *directory,
                          char ret[static S5_SERVER_CACHE_PATH])
{
    make_path(directory, ret);
    if (!ret[0])
        return;
    make_directories(directory);
    if (read_file(table, ret))
        rewrite_file(table, ret);
}

/* A small open-addressing table, which processes may share. A full table keeps its entries and takes no new ones.
 * Its file has a line for each change, "SECONDS KEY VALUE", appended with one write so that lines of several processes
 * do not mix. socksify reads the file at start, ignores lines older than a week, and writes the file again when it has
 * reached FILE_MAX. */
#include "pipelining_cache.h"
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

uint64_t s5_pipelining_cache_key(const struct s5_policy *p, const struct s5_server *server)
{
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */
    for (const char *c = s5_policy_text(p, server->host); *c; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3ull;
    hash = (hash ^ (server->port & 0xff)) * 0x100000001b3ull;
    hash = (hash ^ (server->port >> 8)) * 0x100000001b3ull;
    return hash ? hash : 1;
}

static struct s5_pipelining_cache_entry *find_entry(struct s5_pipelining_cache_entry *table, uint64_t key, int make)
{
    for (unsigned i = 0; i < S5_PIPELINING_CACHE_ENTRIES; i++) {
        struct s5_pipelining_cache_entry *s = &table[(key + i) % S5_PIPELINING_CACHE_ENTRIES];
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

enum s5_pipelining_cache_value s5_pipelining_cache_get(const struct s5_pipelining_cache_entry *table, uint64_t key)
{
    struct s5_pipelining_cache_entry *s = find_entry((struct s5_pipelining_cache_entry *)(uintptr_t)table, key, 0);
    return s ? (enum s5_pipelining_cache_value)atomic_load(&s->value) : S5_PIPELINING_UNKNOWN;
}

static int open_directory(const char *path, size_t len)
{
    char directory[S5_POLICY_FILE_PATH];
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

static void append_line(const char *path, uint64_t key, enum s5_pipelining_cache_value value)
{
    char line[64];
    size_t n = s5_format(line, sizeof line, "%llu %llu %u\n", (unsigned long long)time(NULL), (unsigned long long)key,
                         (unsigned)value);
    int fd = open_file(path, O_WRONLY | O_APPEND | O_CREAT);
    if (fd < 0)
        return;
    s5_in_engine_write(fd, line, n);
    syscall(SYS_close, fd);
}

void s5_pipelining_cache_set(struct s5_pipelining_cache_entry *table, const char *path, uint64_t key,
                             enum s5_pipelining_cache_value value)
{
    struct s5_pipelining_cache_entry *s = find_entry(table, key, 1);
    if (!s || atomic_exchange(&s->value, value) == value)
        return;
    int saved = errno;
    if (path[0])
        append_line(path, key, value);
    errno = saved;
}

static void parse_lines(struct s5_pipelining_cache_entry *table, char *text, time_t now)
{
    unsigned long long when, key;
    unsigned value;
    char *next;
    for (char *line = text; (next = strchr(line, '\n')); line = next + 1) {
        *next = 0;
        if (sscanf(line, "%llu %llu %u", &when, &key, &value) != 3 || key == 0 || value > S5_PIPELINING_UNSUPPORTED ||
            when > (unsigned long long)now || when + WEEK < (unsigned long long)now)
            continue;
        struct s5_pipelining_cache_entry *s = find_entry(table, key, 1);
        if (s)
            atomic_store(&s->value, value);
    }
}

static void rewrite_file(struct s5_pipelining_cache_entry *table, const char *path)
{
    unlink(path);
    for (unsigned i = 0; i < S5_PIPELINING_CACHE_ENTRIES; i++)
        if (atomic_load(&table[i].key))
            append_line(path, atomic_load(&table[i].key), (enum s5_pipelining_cache_value)atomic_load(&table[i].value));
}

/* Makes DIRECTORY and its parents where they are missing. */
static void make_directories(const char *directory)
{
    char path[S5_POLICY_FILE_PATH];
    s5_format(path, sizeof path, "%s", directory);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    mkdir(path, 0700);
}

void s5_pipelining_cache_open(struct s5_pipelining_cache_entry *table, const char *directory,
                              char ret[static S5_POLICY_FILE_PATH])
{
    static char text[FILE_MAX + 1]; /* only socksify calls this, once */
    if (s5_format(ret, S5_POLICY_FILE_PATH, "%s/pipelining", directory) >= S5_POLICY_FILE_PATH - 1) {
        ret[0] = 0;
        return;
    }
    make_directories(directory);
    int fd = open_file(ret, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, FILE_MAX);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    parse_lines(table, text, time(NULL));
    if (n == FILE_MAX)
        rewrite_file(table, ret);
}

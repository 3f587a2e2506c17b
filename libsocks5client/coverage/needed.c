/* The dynamic section names libraries by offsets in a table of strings, whose address in memory it gives. The segment
 * that contains the address tells where the table is in the file. Reads are bounded: entries and names after the limits
 * are not seen. */
#include "needed.h"
#include <elf.h>
#include <string.h>

#define PIECE        16  /* entries or headers read at a time */
#define ENTRIES_MAX  256 /* of a dynamic section */
#define HEADERS_MAX  64
#define NAME_MAX_LEN 32

struct reader {
    const struct s5_program_calls *calls;
    int fd;
    uint64_t headers;
    size_t n_headers;
};

static bool read_octets(const struct reader *r, void *buf, size_t n, uint64_t at)
{
    return at <= (uint64_t)INT64_MAX - n && r->calls->pread(r->fd, buf, n, (off_t)at) == (ssize_t)n;
}

/* Finds the first header of TYPE that, for PT_LOAD, contains ADDRESS. */
static bool find_header(const struct reader *r, uint32_t type, uint64_t address, ElfW(Phdr) * ret)
{
    ElfW(Phdr) headers[PIECE];
    size_t n = r->n_headers < HEADERS_MAX ? r->n_headers : HEADERS_MAX;
    for (size_t at = 0; at < n; at += PIECE) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        if (!read_octets(r, headers, piece * sizeof headers[0], r->headers + at * sizeof headers[0]))
            return false;
        for (size_t i = 0; i < piece; i++) {
            *ret = headers[i];
            if (ret->p_type == type &&
                (type != PT_LOAD || (address >= ret->p_vaddr && address - ret->p_vaddr < ret->p_filesz)))
                return true;
        }
    }
    return false;
}

/* Calls TAKE for each entry of the section DYNAMIC, until it returns true. Returns whether it did. */
static bool find_entry(const struct reader *r, const ElfW(Phdr) * dynamic,
                       bool (*take)(const struct reader *r, const ElfW(Dyn) * entry, void *user), void *user)
{
    ElfW(Dyn) entries[PIECE];
    size_t n = dynamic->p_filesz / sizeof entries[0];
    for (size_t at = 0; at < n && at < ENTRIES_MAX; at += PIECE) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        if (!read_octets(r, entries, piece * sizeof entries[0], dynamic->p_offset + at * sizeof entries[0]))
            return false;
        for (size_t i = 0; i < piece; i++) {
            if (entries[i].d_tag == DT_NULL)
                return false;
            if (take(r, &entries[i], user))
                return true;
        }
    }
    return false;
}

static bool take_table(const struct reader *r, const ElfW(Dyn) * entry, void *user)
{
    (void)r;
    if (entry->d_tag != DT_STRTAB)
        return false;
    *(uint64_t *)user = entry->d_un.d_ptr;
    return true;
}

struct wanted {
    const char *name;
    uint64_t table; /* offset in the file */
};

static bool take_library(const struct reader *r, const ElfW(Dyn) * entry, void *user)
{
    const struct wanted *w = user;
    char name[NAME_MAX_LEN];
    size_t n = strlen(w->name);
    return entry->d_tag == DT_NEEDED && n < sizeof name && entry->d_un.d_val < UINT32_MAX &&
           read_octets(r, name, n, w->table + entry->d_un.d_val) && memcmp(name, w->name, n) == 0;
}

bool s5_needed_has(const struct s5_program_calls *calls, int fd, uint64_t at, size_t n, const char *name)
{
    struct reader r = {calls, fd, at, n};
    struct wanted wanted = {name, 0};
    ElfW(Phdr) dynamic, load;
    uint64_t address;
    if (!find_header(&r, PT_DYNAMIC, 0, &dynamic) || !find_entry(&r, &dynamic, take_table, &address) ||
        !find_header(&r, PT_LOAD, address, &load))
        return false;
    wanted.table = load.p_offset + (address - load.p_vaddr);
    return find_entry(&r, &dynamic, take_library, &wanted);
}

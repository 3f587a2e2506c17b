/* Look-ups that libc would send to name servers past the hooks.
 *
 * getnetbyname() and getnetbyaddr() are answered from /etc/networks alone. The lines are parsed as libc's "files" does
 * it: "NAME NUMBER ALIAS...", and a number with fewer than four parts is completed with zeros. gethostid() looks up the
 * host's own name if there is no /etc/hostid. libc does that only if it finds the address without a query. */
#include "in_engine.h"
#include "names.h"
#include "real.h"
#include "word_reader.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- networks --- */

struct question {
    const char *name; /* NULL: a number is asked about: */
    uint32_t net;
    int type;
};

/* The current line of the file, and at the end the answer. */
struct line {
    const struct question *q;
    bool matched;
    unsigned words; /* in TEXT: the name, then the aliases */
    size_t used;    /* octets of TEXT */
    uint32_t net;
    char text[1024]; /* each word with a NUL; words that do not fit are dropped */
};

/* Where the words of an answer are, in the caller's buffer. */
struct answer {
    char *aliases[1]; /* as many as there are, and a NULL; the texts follow */
};

static void add_word(struct line *l, const char *word, size_t len)
{
    if (len >= sizeof l->text - l->used)
        return;
    memcpy(l->text + l->used, word, len);
    l->text[l->used + len] = 0;
    if (l->q->name && strcasecmp(l->text + l->used, l->q->name) == 0)
        l->matched = true;
    l->used += len + 1;
    l->words++;
}

static uint32_t parse_number(const char *word, size_t len)
{
    char text[64];
    unsigned dots = 0;
    if (len + sizeof ".0.0.0" > sizeof text)
        return INADDR_NONE;
    memcpy(text, word, len);
    text[len] = 0;
    for (size_t i = 0; i < len; i++)
        dots += text[i] == '.';
    for (; dots < 3; dots++)
        strcat(text, ".0");
    return inet_network(text);
}

static bool read_word(void *user, unsigned at, const char *word, size_t len)
{
    struct line *l = user;
    if (at == 0) {
        if (l->matched)
            return true;
        l->used = l->words = 0;
        l->net = INADDR_NONE; /* libc takes a line without a number as well */
    }
    if (at != 1) {
        add_word(l, word, len);
        return false;
    }
    l->net = parse_number(word, len);
    if (!l->q->name && l->net == l->q->net && (l->q->type == AF_UNSPEC || l->q->type == AF_INET))
        l->matched = true;
    return false;
}

/* Answers Q in BUF of N octets. 0, or an error number with *RET_HERR. */
static int answer_question(const struct question *q, struct netent *ne, char *buf, size_t n, int *ret_herr)
{
    struct line l = {.q = q};
    s5_word_reader_each("/etc/networks", read_word, &l);
    *ret_herr = HOST_NOT_FOUND;
    if (!l.matched || !l.words)
        return ENOENT;
    size_t gap = (size_t)(-(uintptr_t)buf % _Alignof(struct answer)), head = gap + l.words * sizeof(char *);
    *ret_herr = NETDB_INTERNAL;
    if (n < head || n - head < l.used)
        return ERANGE;
    char **aliases = ((struct answer *)(void *)(buf + gap))->aliases, *text = memcpy(buf + head, l.text, l.used);
    *ne = (struct netent){.n_name = text, .n_aliases = aliases, .n_addrtype = AF_INET, .n_net = l.net};
    for (unsigned i = 1; i < l.words; i++)
        *aliases++ = text += strlen(text) + 1;
    *aliases = NULL;
    *ret_herr = NETDB_SUCCESS;
    return 0;
}

static struct netent *answer_in_static(const struct question *q)
{
    static struct netent ne;
    static char buf[2 * sizeof(struct line)];
    int herr, saved = errno, r = answer_question(q, &ne, buf, sizeof buf, &herr);
    errno = saved;
    if (r != 0)
        h_errno = herr;
    return r == 0 ? &ne : NULL;
}

static int answer_in_buffer(const struct question *q, struct netent *ne, char *buf, size_t n, struct netent **ret,
                            int *herr)
{
    int value, saved = errno, r = answer_question(q, ne, buf, n, &value);
    errno = saved;
    *ret = r == 0 ? ne : NULL;
    if (r != 0)
        *herr = value;
    return r == ERANGE ? ERANGE : 0;
}

HOOK(struct netent *, getnetbyname, (const char *name))
{
    return answer_in_static(&(struct question){.name = name});
}

HOOK(struct netent *, getnetbyaddr, (uint32_t net, int type))
{
    return answer_in_static(&(struct question){.net = net, .type = type});
}

HOOK(int, getnetbyname_r, (const char *name, struct netent *ne, char *buf, size_t n, struct netent **ret, int *herr))
{
    return answer_in_buffer(&(struct question){.name = name}, ne, buf, n, ret, herr);
}

HOOK(int, getnetbyaddr_r,
     (uint32_t net, int type, struct netent *ne, char *buf, size_t n, struct netent **ret, int *herr))
{
    return answer_in_buffer(&(struct question){.net = net, .type = type}, ne, buf, n, ret, herr);
}

/* --- the number of this machine --- */

static bool has_hostid_file(void)
{
    int32_t id;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/etc/hostid", O_RDONLY | O_CLOEXEC);
    long n = fd >= 0 ? syscall(SYS_read, fd, &id, sizeof id) : -1;
    if (fd >= 0)
        syscall(SYS_close, fd);
    return n == (long)sizeof id;
}

/* Whether libc would ask a name server for the address of this host. */
static bool needs_query(void)
{
    char name[S5_ADDR_NAME_MAX + 1];
    struct s5_names_answer answer;
    return gethostname(name, sizeof name) == 0 && name[0] &&
           (s5_names_look_up(s5_begin(), name, AF_INET, &answer) < 0 || answer.kind != S5_NAMES_LIBC);
}

/* 0 is also libc's answer for a host without an address. */
HOOK(long, gethostid, (void))
{
    int saved = errno;
    bool none = !s5_in_engine && !has_hostid_file() && needs_query();
    errno = saved;
    if (none)
        return 0;
    S5_NEXT(real, "gethostid", long, (void));
    return real();
}

/* gethostbyname() and gethostbyaddr() in all their forms. A row at the end of each section gives the question and the
 * way in which the answer is returned. */
#include "hosts.h"
#include "in_engine.h"
#include "names.h"
#include "outside.h"
#include "real.h"
#include "resolve.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>

struct question {
    const char *name; /* NULL: an address is asked about: */
    const void *octets;
    socklen_t len;
    int af;
};

enum { ASK_LIBC = 1 }; /* besides 0 (answered) and -errno */

/* An answer in the caller's buffer: pointers to the addresses, the list of aliases, which is empty, the octets, and the
 * name. */
struct parts {
    char *alias;
    char *addresses[];
};

/* Begins an answer with the name and space for COUNT addresses in BUF, of N octets. 0, or -ERANGE: BUF is too small. */
static int begin_answer(const char *name, int af, unsigned count, struct hostent *he, char *buf, size_t n)
{
    size_t gap = (size_t)(-(uintptr_t)buf % _Alignof(struct parts)), len = strlen(name), size = af == AF_INET ? 4 : 16;
    struct parts *parts = (struct parts *)(void *)(buf + gap);
    if (len > 1 && name[len - 1] == '.')
        len--;
    size_t head = sizeof *parts + (count + 1) * sizeof(char *);
    if (n < gap || n - gap < head + count * size + len + 1)
        return -ERANGE;
    char *octets = (char *)parts + head;
    for (unsigned i = 0; i < count; i++)
        parts->addresses[i] = octets + i * size;
    parts->addresses[count] = parts->alias = NULL;
    *he = (struct hostent){.h_addrtype = af, .h_length = (int)size, .h_addr_list = parts->addresses};
    he->h_aliases = &parts->alias;
    he->h_name = octets + count * size;
    memcpy(he->h_name, name, len);
    he->h_name[len] = 0;
    return 0;
}

/* An answer with one address. */
static int build_answer(const char *name, int af, const void *octets, struct hostent *he, char *buf, size_t n)
{
    int r = begin_answer(name, af, 1, he, buf, n);
    if (r == 0)
        memcpy(he->h_addr_list[0], octets, (size_t)he->h_length);
    return r;
}

/* Answers with what the companion has found. 0 or -errno. */
static int answer_outside(const struct question *q, struct hostent *he, char *buf, size_t n)
{
    struct s5_companion_addresses found;
    int error = s5_companion_request_look_up(q->name, q->af, AI_CANONNAME, &found);
    if (error != 0)
        return error == EAI_AGAIN ? -EAGAIN : -EINVAL;
    int r = begin_answer(found.canonical[0] ? found.canonical : q->name, q->af, found.n, he, buf, n);
    for (unsigned i = 0; r == 0 && i < found.n; i++)
        memcpy(he->h_addr_list[i], found.list[i].octets, (size_t)he->h_length);
    return r;
}

/* libc takes only digits and dots for an IPv4 address, and only hexadecimal digits, colons and dots for an IPv6
 * address. It would send a query for another literal, such as "0x7f.1" or "fe80::1%eth0". */
static int answer_literal(const struct question *q, struct hostent *he, char *buf, size_t n)
{
    struct in_addr v4;
    bool colons = strchr(q->name, ':');
    if (!q->name[strspn(q->name, colons ? "0123456789abcdefABCDEF:." : "0123456789.")] ||
        (!colons && (q->name[0] < '0' || q->name[0] > '9' || !inet_aton(q->name, &v4))))
        return ASK_LIBC;
    return colons || q->af != AF_INET ? -EINVAL : build_answer(q->name, AF_INET, &v4, he, buf, n);
}

static int answer_by_name(const struct question *q, struct hostent *he, char *buf, size_t n)
{
    struct s5_names_answer answer;
    if (!q->name || (q->af != AF_INET && q->af != AF_INET6))
        return ASK_LIBC;
    int r = s5_names_look_up(s5_begin(), q->name, q->af, &answer);
    if (r < 0)
        return r;
    if (answer.kind == S5_NAMES_LIBC)
        return s5_outside_answers(&answer) ? answer_outside(q, he, buf, n) : answer_literal(q, he, buf, n);
    const void *octets = q->af == AF_INET ? answer.v4 : answer.v6;
    return build_answer(s5_names_whole(&answer, q->name), q->af, octets, he, buf, n);
}

static int answer_by_address(const struct question *q, struct hostent *he, char *buf, size_t n)
{
    struct s5_engine *e = s5_begin();
    socklen_t len = q->af == AF_INET ? 4 : 16;
    struct s5_addr addr;
    if (s5_in_engine || (q->af != AF_INET && q->af != AF_INET6) || q->len != len || !q->octets)
        return ASK_LIBC;
    s5_addr_from_octets(&addr, q->octets, len, 0);
    int r = s5_names_find(e, &addr);
    if (r == 0 && s5_outside_knows(&addr) && s5_resolve_allowed(e, NULL) == 0)
        r = s5_outside_name(&addr, 0) == 0 ? 1 : -EINVAL;
    if (r > 0)
        return build_answer(addr.name, q->af, q->octets, he, buf, n);
    if (r < 0)
        return -EINVAL;
    if (s5_addr_is_loopback(&addr) || s5_hosts_has_address(&addr))
        return ASK_LIBC;
    return s5_resolve_allowed(e, NULL) < 0 ? -EACCES : ASK_LIBC;
}

/* Answers Q. 0, -errno or ASK_LIBC; *RET_HERR: the value of h_errno for it. */
static int answer_question(const struct question *q, struct hostent *he, char *buf, size_t n, int *ret_herr)
{
    if (!s5_gate_open())
        return ASK_LIBC;
    int saved = errno, r = q->octets ? answer_by_address(q, he, buf, n) : answer_by_name(q, he, buf, n);
    errno = saved;
    *ret_herr = r == 0         ? NETDB_SUCCESS
                : r == -EINVAL ? HOST_NOT_FOUND
                : r == -EAGAIN ? TRY_AGAIN
                : r == -ERANGE ? NETDB_INTERNAL
                               : NO_RECOVERY;
    return r;
}

/* --- results in static memory --- */

static struct hostent *answer_in_static(const struct question *q, bool *ret_libc)
{
    static struct hostent he;
    static _Alignas(struct parts) char buf[sizeof(struct parts) + (S5_COMPANION_LIST + 1) * sizeof(char *) +
                                           S5_COMPANION_LIST * 16 + S5_ADDR_NAME_MAX + 1];
    int herr, r = answer_question(q, &he, buf, sizeof buf, &herr);
    *ret_libc = r == ASK_LIBC;
    if (r < 0)
        h_errno = herr;
    return r == 0 ? &he : NULL;
}

#define STATIC(name, params, args, ...)                                                                                \
    HOOK(struct hostent *, name, params)                                                                               \
    {                                                                                                                  \
        const struct question q = {__VA_ARGS__};                                                                       \
        bool libc;                                                                                                     \
        struct hostent *he = answer_in_static(&q, &libc);                                                              \
        if (!libc)                                                                                                     \
            return he;                                                                                                 \
        S5_NEXT(real, #name, struct hostent *, params);                                                                \
        return real args;                                                                                              \
    }

STATIC(gethostbyname, (const char *name), (name), name, NULL, 0, AF_INET)
STATIC(gethostbyname2, (const char *name, int af), (name, af), name, NULL, 0, af)
STATIC(gethostbyaddr, (const void *addr, socklen_t len, int af), (addr, len, af), NULL, addr, len, af)

/* --- results in the caller's memory --- */

static int answer_in_buffer(const struct question *q, struct hostent *he, char *buf, size_t n, struct hostent **ret,
                            int *herr, bool *ret_libc)
{
    int value, r = answer_question(q, he, buf, n, &value);
    *ret_libc = r == ASK_LIBC;
    if (*ret_libc)
        return 0;
    *ret = r == 0 ? he : NULL;
    if (r < 0)
        *herr = value;
    return r == -ERANGE ? ERANGE : r == -EACCES ? EACCES : r == -ENOMEM ? ENOMEM : r == -EAGAIN ? EAGAIN : 0;
}

#define REENTRANT(name, params, args, ...)                                                                             \
    HOOK(int, name, params)                                                                                            \
    {                                                                                                                  \
        const struct question q = {__VA_ARGS__};                                                                       \
        bool libc;                                                                                                     \
        int r = answer_in_buffer(&q, he, buf, n, ret, herr, &libc);                                                    \
        if (!libc)                                                                                                     \
            return r;                                                                                                  \
        S5_NEXT(real, #name, int, params);                                                                             \
        return real args;                                                                                              \
    }

REENTRANT(gethostbyname_r, (const char *name, struct hostent *he, char *buf, size_t n, struct hostent **ret, int *herr),
          (name, he, buf, n, ret, herr), name, NULL, 0, AF_INET)
REENTRANT(gethostbyname2_r,
          (const char *name, int af, struct hostent *he, char *buf, size_t n, struct hostent **ret, int *herr),
          (name, af, he, buf, n, ret, herr), name, NULL, 0, af)
REENTRANT(gethostbyaddr_r,
          (const void *addr, socklen_t len, int af, struct hostent *he, char *buf, size_t n, struct hostent **ret,
           int *herr),
          (addr, len, af, he, buf, n, ret, herr), NULL, addr, len, af)

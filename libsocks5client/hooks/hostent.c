/* gethostbyname() and gethostbyaddr() in all their forms. A row at the end of each section gives the question and the
 * way in which the answer is returned. */
#include "hosts.h"
#include "in_engine.h"
#include "names.h"
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

/* The parts of an answer, in the caller's buffer. */
struct parts {
    char *addresses[2], *aliases[1];
    uint8_t octets[16];
    char name[];
};

/* Builds an answer in BUF, of N octets. 0, or -ERANGE: BUF is too small. */
static int build_answer(const char *name, size_t len, int af, const void *octets, struct hostent *he, char *buf,
                        size_t n)
{
    size_t gap = (size_t)(-(uintptr_t)buf % _Alignof(struct parts));
    struct parts *parts = (struct parts *)(void *)(buf + gap);
    if (len > 1 && name[len - 1] == '.')
        len--;
    if (n < gap || n - gap < sizeof *parts + len + 1)
        return -ERANGE;
    he->h_length = af == AF_INET ? 4 : 16;
    memcpy(parts->octets, octets, (size_t)he->h_length);
    memcpy(parts->name, name, len);
    parts->name[len] = 0;
    parts->addresses[0] = (char *)parts->octets;
    parts->addresses[1] = parts->aliases[0] = NULL;
    he->h_addrtype = af;
    he->h_name = parts->name;
    he->h_aliases = parts->aliases;
    he->h_addr_list = parts->addresses;
    return 0;
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
        return ASK_LIBC;
    const void *octets = q->af == AF_INET ? answer.v4 : answer.v6;
    const char *name = s5_names_whole(&answer, q->name);
    return build_answer(name, strlen(name), q->af, octets, he, buf, n);
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
    if (r > 0)
        return build_answer(addr.name, addr.name_len, q->af, q->octets, he, buf, n);
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
    *ret_herr = r == 0 ? NETDB_SUCCESS : r == -EINVAL ? HOST_NOT_FOUND : r == -ERANGE ? NETDB_INTERNAL : NO_RECOVERY;
    return r;
}

/* --- results in static memory --- */

static struct hostent *answer_in_static(const struct question *q, bool *ret_libc)
{
    static struct hostent he;
    static _Alignas(struct parts) char buf[sizeof(struct parts) + S5_ADDR_NAME_MAX + 1];
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
    return r == -ERANGE ? ERANGE : r == -EACCES ? EACCES : r == -ENOMEM ? ENOMEM : 0;
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

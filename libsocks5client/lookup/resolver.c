/* res_query() and the related functions: questions as DNS messages. libc answers those about names that a rule makes
 * direct. The engine's name server answers all others. */
#include "dns.h"
#include "dns_answer.h"
#include "in_engine.h"
#include "outside.h"
#include "real.h"
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>

/* resolv.h renames these functions by macros. Both names are exported. */
#undef res_query
#undef res_search
#undef res_querydomain
#undef res_send
#undef res_nquery
#undef res_nsearch
#undef res_nquerydomain
#undef res_nsend

/* The value of h_errno for a reply of LEN octets. 0: it has an answer. */
static int get_reply_error(const unsigned char *reply, ssize_t len)
{
    if (len < S5_DNS_HEADER)
        return TRY_AGAIN;
    switch (reply[3] & 15) {
    case S5_DNS_NOERROR:
        return reply[6] || reply[7] ? 0 : NO_DATA;
    case S5_DNS_NXDOMAIN:
        return HOST_NOT_FOUND;
    case S5_DNS_SERVFAIL:
        return TRY_AGAIN;
    default:
        return NO_RECOVERY;
    }
}

static int fail_question(struct __res_state *state, int herr)
{
    if (state)
        state->res_h_errno = herr;
    h_errno = herr;
    return -1;
}

/* The reply to QUERY of LEN octets: the engine's or, for what goes DIRECTLY, the companion's. */
static ssize_t get_reply(const uint8_t *query, size_t len, bool directly, unsigned char *reply, int n)
{
    return directly ? s5_companion_request_message(query, len, reply, (size_t)n)
                    : s5_dns_answer_query(s5_begin(), query, len, NULL, true, reply, (size_t)n);
}

/* Answers a question about NAME. STATE receives the value of h_errno too; NULL: none. The length of the reply, or
 * -1. */
static int answer_question(struct __res_state *state, const char *name, int class, int type, bool directly,
                           unsigned char *reply, int n)
{
    uint8_t query[S5_DNS_HEADER + 256 + 4];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int len = s5_dns_ask(name, (uint16_t)type, (uint16_t) class, (uint16_t)(now.tv_nsec / 16), query, sizeof query);
    if (len < 0 || n < 0)
        return fail_question(state, NO_RECOVERY);
    ssize_t got = get_reply(query, (size_t)len, directly, reply, n);
    int herr = get_reply_error(reply, got);
    return herr ? fail_question(state, herr) : (int)got;
}

static int answer_message(const unsigned char *query, int len, bool directly, unsigned char *reply, int n)
{
    ssize_t got = len < 0 || n < 0 ? 0 : get_reply(query, (size_t)len, directly, reply, n);
    if (got > 0)
        return (int)got;
    errno = got ? (int)-got : ECONNREFUSED;
    return -1;
}

static bool is_direct_question(const unsigned char *query, int len)
{
    struct s5_dns_query q;
    return s5_in_engine || (len > 0 && s5_dns_read(query, (size_t)len, &q) == 0 && q.name.kind == S5_ADDR_NAME &&
                            s5_dns_answer_is_direct(s5_begin(), q.name.name));
}

/* Whether the companion is asked in place of libc. */
static bool asks_companion(void)
{
    return s5_gate_open() && !s5_in_engine && s5_fence() == S5_FENCE_WATCHED;
}

/* NAME under DOMAIN (NULL: none), in BUF where they are joined. */
static const char *join_name(const char *name, const char *domain, char *buf, size_t size)
{
    if (!domain || !*domain)
        return name;
    snprintf(buf, size, "%s.%s", name, domain);
    return buf;
}

/* STATE: of the caller, or NULL. NAME and DOMAIN: what the question is about. */
#define QUESTION(fn, params, args, state, name, domain)                                                                \
    HOOK(int, fn, params)                                                                                              \
    {                                                                                                                  \
        char buf[S5_ADDR_NAME_MAX + 2];                                                                                \
        const char *about = join_name(name, domain, buf, sizeof buf);                                                  \
        bool directly = !s5_gate_open() || s5_dns_answer_is_direct(s5_begin(), about);                                 \
        if (!directly || asks_companion())                                                                             \
            return answer_question(state, about, class, type, directly, reply, n);                                     \
        S5_NEXT(real, #fn, int, params);                                                                               \
        return real ? real args : fail_question(state, NO_RECOVERY);                                                   \
    }                                                                                                                  \
    TWIN(fn)
#define MESSAGE(fn, params, args)                                                                                      \
    HOOK(int, fn, params)                                                                                              \
    {                                                                                                                  \
        bool directly = !s5_gate_open() || is_direct_question(query, len);                                             \
        if (!directly || asks_companion())                                                                             \
            return answer_message(query, len, directly, reply, n);                                                     \
        S5_NEXT(real, #fn, int, params);                                                                               \
        return real ? real args : fail_question(NULL, NO_RECOVERY);                                                    \
    }                                                                                                                  \
    TWIN(fn)
#define TWIN(name) ALIAS(__##name, name)

QUESTION(res_query, (const char *name, int class, int type, unsigned char *reply, int n), (name, class, type, reply, n),
         NULL, name, NULL)
QUESTION(res_search, (const char *name, int class, int type, unsigned char *reply, int n),
         (name, class, type, reply, n), NULL, name, NULL)
QUESTION(res_querydomain, (const char *name, const char *domain, int class, int type, unsigned char *reply, int n),
         (name, domain, class, type, reply, n), NULL, name, domain)
QUESTION(res_nquery, (res_state state, const char *name, int class, int type, unsigned char *reply, int n),
         (state, name, class, type, reply, n), state, name, NULL)
QUESTION(res_nsearch, (res_state state, const char *name, int class, int type, unsigned char *reply, int n),
         (state, name, class, type, reply, n), state, name, NULL)
QUESTION(res_nquerydomain,
         (res_state state, const char *name, const char *domain, int class, int type, unsigned char *reply, int n),
         (state, name, domain, class, type, reply, n), state, name, domain)
MESSAGE(res_send, (const unsigned char *query, int len, unsigned char *reply, int n), (query, len, reply, n))
MESSAGE(res_nsend, (res_state state, const unsigned char *query, int len, unsigned char *reply, int n),
        (state, query, len, reply, n))

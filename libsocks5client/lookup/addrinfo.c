/* getaddrinfo(), getaddrinfo_a() and getnameinfo(). For a name that the engine answers, libc is asked for a numeric
 * address instead. libc then evaluates hints, flags and services, sends no query, and allocates the result, which it
 * can free. The addresses in the result are replaced by the fake addresses. */
#include "hosts.h"
#include "idn.h"
#include "in_engine.h"
#include "names.h"
#include "outside.h"
#include "real.h"
#include "resolve.h"
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* The EAI_* value for an error of s5_names_look_up(). */
static int get_eai_error(int error)
{
    bool memory = error == -ENOMEM || error == -EMFILE || error == -ENFILE;
    return error == -EINVAL ? EAI_NONAME : memory ? EAI_MEMORY : EAI_FAIL;
}

/* Appends libc's result for a numeric address of FAMILY (MAPPED: an IPv4 address in IPv6 notation), with the address in
 * ANSWER put in. **TAIL: the end of the list. 0 or EAI_*. */
static int append_address(struct addrinfo ***tail, const struct s5_names_answer *answer, int family, bool mapped,
                          const char *service, const struct addrinfo *hints)
{
    bool v4 = family == AF_INET || mapped;
    struct addrinfo asked = *hints, *list = NULL;
    asked.ai_family = family;
    asked.ai_flags &= ~(AI_ADDRCONFIG | AI_CANONNAME | AI_CANONIDN);
    int r = s5_real.getaddrinfo(v4 ? "0" : "::", service, &asked, &list);
    **tail = list;
    for (struct addrinfo *ai = list; r == 0 && ai; ai = ai->ai_next) {
        if (family == AF_INET)
            memcpy(&((struct sockaddr_in *)(void *)ai->ai_addr)->sin_addr, answer->v4, 4);
        else if (mapped)
            memcpy(((struct sockaddr_in6 *)(void *)ai->ai_addr)->sin6_addr.s6_addr + 12, answer->v4, 4);
        else
            memcpy(&((struct sockaddr_in6 *)(void *)ai->ai_addr)->sin6_addr, answer->v6, 16);
        ai->ai_flags = hints->ai_flags;
        *tail = &ai->ai_next;
    }
    return r;
}

/* Sets the canonical name as libc does: without the dot at its end, or (FLAGS) in the locale's encoding. 0 or EAI_*. */
static int set_canonical_name(struct addrinfo *ai, const char *node, int flags)
{
    char *decoded = NULL;
    size_t len = strlen(node);
    if (len > 1 && node[len - 1] == '.')
        len--;
    int r = flags & AI_CANONIDN ? s5_idn_decode(node, &decoded) : 0;
    if (r == 0 && !decoded)
        decoded = strndup(node, len);
    ai->ai_canonname = decoded;
    return r == 0 && !decoded ? EAI_MEMORY : r;
}

static int answer_fake(const struct s5_names_answer *answer, const char *node, const char *service,
                       const struct addrinfo *hints, struct addrinfo **ret)
{
    const int all = AI_V4MAPPED | AI_ALL;
    struct addrinfo *list = NULL, **tail = &list;
    bool ipv6 = hints->ai_family == AF_INET6;
    bool any = hints->ai_family == AF_UNSPEC, prefer6 = any && s5_hosts_prefers_ipv6();
    int r = 0;
    if (ipv6 || prefer6)
        r = append_address(&tail, answer, AF_INET6, false, service, hints);
    if (r == 0 && !ipv6)
        r = append_address(&tail, answer, AF_INET, false, service, hints);
    if (r == 0 && any && !prefer6 && (!(hints->ai_flags & AI_ADDRCONFIG) || s5_hosts_has_ipv6()))
        r = append_address(&tail, answer, AF_INET6, false, service, hints);
    if (r == 0 && ipv6 && (hints->ai_flags & all) == all)
        r = append_address(&tail, answer, AF_INET6, true, service, hints);
    if (r == 0 && (hints->ai_flags & AI_CANONNAME))
        r = set_canonical_name(list, node, hints->ai_flags);
    if (r == 0)
        *ret = list;
    else if (list)
        freeaddrinfo(list);
    return r;
}

/* The result for ERROR. What libc finds wrong in the service or hints comes before it. */
static int select_error(int error, const char *service, const struct addrinfo *hints)
{
    static const struct s5_names_answer nothing;
    struct addrinfo *list = NULL, **tail = &list;
    int family = hints->ai_family == AF_INET6 ? AF_INET6 : AF_INET;
    int r = append_address(&tail, &nothing, family, false, service, hints);
    if (list)
        freeaddrinfo(list);
    return r ? r : error;
}

/* Answers with what the companion has found. 0 or EAI_*. */
static int answer_outside(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    struct s5_companion_addresses found;
    struct addrinfo *list = NULL, **tail = &list;
    int r = s5_companion_request_look_up(node, hints->ai_family, hints->ai_flags, &found);
    for (unsigned i = 0; r == 0 && i < found.n; i++) {
        struct s5_names_answer answer = {.kind = S5_NAMES_OURS};
        bool v4 = found.list[i].kind == S5_ADDR_IPV4, mapped = v4 && hints->ai_family == AF_INET6;
        memcpy(v4 ? answer.v4 : answer.v6, found.list[i].octets, v4 ? sizeof answer.v4 : sizeof answer.v6);
        struct addrinfo **first = tail;
        r = append_address(&tail, &answer, v4 && !mapped ? AF_INET : AF_INET6, mapped, service, hints);
        for (struct addrinfo *ai = *first; r == 0 && !v4 && ai; ai = ai->ai_next)
            ((struct sockaddr_in6 *)(void *)ai->ai_addr)->sin6_scope_id = found.list[i].scope;
    }
    if (r == 0 && hints->ai_flags & AI_CANONNAME)
        r = set_canonical_name(list, found.canonical[0] ? found.canonical : node, hints->ai_flags);
    if (r == 0)
        *ret = list;
    else if (list)
        freeaddrinfo(list);
    return r == 0 || list ? r : select_error(r, service, hints);
}

/* Looks NODE up, in its encoding for the network. 0: libc answers; 1: *RET is the answer; or EAI_*. */
static int answer_name(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    struct s5_names_answer answer;
    int r = s5_names_look_up(s5_begin(), node, hints->ai_family, &answer);
    if (r == 0 && answer.kind == S5_NAMES_LIBC && !s5_outside_answers(&answer))
        return 0;
    if (r == 0 && answer.kind == S5_NAMES_LIBC)
        r = answer_outside(node, service, hints, ret);
    else if (r == 0)
        r = answer_fake(&answer, s5_names_whole(&answer, node), service, hints, ret);
    else
        r = select_error(get_eai_error(r), service, hints);
    return r ? r : 1;
}

/* Whether the engine answers or refuses the look-up: its result is in *RET_RESULT. */
static bool look_up_node(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret,
                         int *ret_result)
{
    static const struct addrinfo none = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG};
    char *ascii = NULL;
    if (!hints)
        hints = &none;
    if (!node || !s5_gate_open() || (hints->ai_flags & AI_NUMERICHOST) ||
        (hints->ai_family != AF_UNSPEC && hints->ai_family != AF_INET && hints->ai_family != AF_INET6))
        return false;
    int r = hints->ai_flags & AI_IDN ? s5_idn_encode(node, &ascii) : 0;
    r = r ? select_error(r, service, hints) : answer_name(ascii ? ascii : node, service, hints, ret);
    free(ascii);
    *ret_result = r > 0 ? 0 : r;
    return r != 0;
}

HOOK(int, getaddrinfo, (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret))
{
    int r;
    return look_up_node(node, service, hints, ret, &r) ? r : s5_real.getaddrinfo(node, service, hints, ret);
}

/* The beginning of struct gaicb. The member for the result has a private name there. The layout has been the same since
 * the first getaddrinfo_a(). */
struct request {
    const char *name, *service;
    const struct addrinfo *hints;
    struct addrinfo *result;
    int status;
};

/* The engine's names are answered at once. libc gets the others, with gaps between them, and notifies the waiting
 * thread. */
HOOK(int, getaddrinfo_a, (int mode, struct gaicb *list[], int n, struct sigevent *event))
{
    S5_NEXT(real, "getaddrinfo_a", int, (int, struct gaicb *[], int, struct sigevent *));
    struct gaicb **others = n > 0 ? calloc((size_t)n, sizeof *others) : NULL;
    if (n > 0 && !others)
        return EAI_MEMORY;
    for (int i = 0; i < n; i++) {
        struct request *q = (struct request *)(void *)list[i];
        int r;
        if (q && q->name && look_up_node(q->name, q->service, q->hints, &q->result, &r))
            q->status = r;
        else
            others[i] = list[i];
    }
    int r = real(mode, others ? others : list, n, event);
    free(others);
    return r;
}

/* --- addresses to names --- */

static int write_name(struct s5_addr *name, char *host, socklen_t hostlen, int flags)
{
    char *decoded = NULL;
    if (name->name_len > 1 && name->name[name->name_len - 1] == '.')
        name->name[name->name_len - 1] = 0;
    int r = flags & NI_IDN ? s5_idn_decode(name->name, &decoded) : 0;
    const char *text = decoded ? decoded : name->name;
    if (r == 0 && strlen(text) >= hostlen)
        r = EAI_OVERFLOW;
    if (r == 0)
        memcpy(host, text, strlen(text) + 1);
    free(decoded);
    return r;
}

/* An address without a name is returned as a number, as by libc where no name server answers. */
HOOK(int, getnameinfo,
     (const struct sockaddr *addr, socklen_t len, char *host, socklen_t hostlen, char *serv, socklen_t servlen,
      int flags))
{
    struct s5_engine *e = s5_begin();
    struct s5_addr a;
    if (s5_gate_open() && !s5_in_engine && host && hostlen && !(flags & NI_NUMERICHOST) &&
        s5_addr_from_sockaddr(&a, addr, len) == 0) {
        int saved = errno, r = s5_names_find(e, &a);
        bool numeric = r < 0 || (r == 0 && !s5_addr_is_loopback(&a) && !s5_hosts_has_address(&a) &&
                                 s5_resolve_allowed(e, NULL) < 0);
        errno = saved;
        if (r == 0 && !numeric && s5_outside_knows(&a)) {
            r = s5_outside_name(&a, flags) == 0;
            numeric = r == 0;
        }
        if (r > 0) {
            r = write_name(&a, host, hostlen, flags);
            return r || !serv || !servlen ? r : s5_real.getnameinfo(addr, len, NULL, 0, serv, servlen, flags);
        }
        if (numeric && (flags & NI_NAMEREQD))
            return EAI_NONAME;
        if (numeric)
            flags |= NI_NUMERICHOST;
    }
    return s5_real.getnameinfo(addr, len, host, hostlen, serv, servlen, flags);
}

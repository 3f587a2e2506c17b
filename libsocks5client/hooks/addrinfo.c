/* getaddrinfo and its kin. For a name that is ours libc is asked for a literal in its stead: what
 * hints, flags and services make of it is libc's to say, no query is sent, and what comes back is
 * libc's to free. The addresses in it are then made the stand-ins. */
#include "hosts.h"
#include "idn.h"
#include "in_engine.h"
#include "names.h"
#include "real.h"
#include "resolve.h"
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* What names_look_up's errors are to callers of getaddrinfo. */
static int eai(int error)
{
    bool memory = error == -ENOMEM || error == -EMFILE || error == -ENFILE;
    return error == -EINVAL ? EAI_NONAME : memory ? EAI_MEMORY : EAI_FAIL;
}

/* libc's answer for an address of the FAMILY HINTS asks for with (AS_MAPPED: an IPv4 one in IPv6
 * notation) made the one in ANSWER, behind the entries **TAIL leads to. */
static int append(struct addrinfo ***tail, const struct s5_names_answer *answer, int family, bool mapped,
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

/* The name as libc would tell it: without the dot at its end, or (FLAGS) in the locale's encoding. */
static int name_canonically(struct addrinfo *ai, const char *node, int flags)
{
    char *told = NULL;
    size_t len = strlen(node);
    if (len > 1 && node[len - 1] == '.')
        len--;
    int r = flags & AI_CANONIDN ? s5_idn_decode(node, &told) : 0;
    if (r == 0 && !told)
        told = strndup(node, len);
    ai->ai_canonname = told;
    return r == 0 && !told ? EAI_MEMORY : r;
}

static int answer_ours(const struct s5_names_answer *answer, const char *node, const char *service,
                       const struct addrinfo *hints, struct addrinfo **ret)
{
    const int all = AI_V4MAPPED | AI_ALL;
    struct addrinfo *list = NULL, **tail = &list;
    bool ipv6 = hints->ai_family == AF_INET6;
    bool any = hints->ai_family == AF_UNSPEC, prefer6 = any && s5_hosts_prefers_ipv6();
    int r = 0;
    if (ipv6 || prefer6)
        r = append(&tail, answer, AF_INET6, false, service, hints);
    if (r == 0 && !ipv6)
        r = append(&tail, answer, AF_INET, false, service, hints);
    if (r == 0 && any && !prefer6 && (!(hints->ai_flags & AI_ADDRCONFIG) || s5_hosts_has_ipv6()))
        r = append(&tail, answer, AF_INET6, false, service, hints);
    if (r == 0 && ipv6 && (hints->ai_flags & all) == all)
        r = append(&tail, answer, AF_INET6, true, service, hints);
    if (r == 0 && (hints->ai_flags & AI_CANONNAME))
        r = name_canonically(list, node, hints->ai_flags);
    if (r == 0)
        *ret = list;
    else if (list)
        freeaddrinfo(list);
    return r;
}

/* What libc finds wrong before it comes to the name is told before ERROR. */
static int fault(int error, const char *service, const struct addrinfo *hints)
{
    static const struct s5_names_answer nothing;
    struct addrinfo *list = NULL, **tail = &list;
    int family = hints->ai_family == AF_INET6 ? AF_INET6 : AF_INET;
    int r = append(&tail, &nothing, family, false, service, hints);
    if (list)
        freeaddrinfo(list);
    return r ? r : error;
}

/* NODE as it goes over a wire is looked up: 0 where that is libc's business, 1, or EAI_*. */
static int answer_name(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    struct s5_names_answer answer;
    int r = s5_names_look_up(s5_begin(), node, hints->ai_family, &answer);
    if (r == 0 && answer.kind == S5_NAMES_LIBC)
        return 0;
    r = r < 0 ? fault(eai(r), service, hints)
              : answer_ours(&answer, s5_names_whole(&answer, node), service, hints, ret);
    return r ? r : 1;
}

/* True when the look-up is ours, or refused: its result is in *RET_RESULT. */
static bool look_up(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret,
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
    r = r ? fault(r, service, hints) : answer_name(ascii ? ascii : node, service, hints, ret);
    free(ascii);
    *ret_result = r > 0 ? 0 : r;
    return r != 0;
}

HOOK(int, getaddrinfo, (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret))
{
    int r;
    return look_up(node, service, hints, ret, &r) ? r : s5_real.getaddrinfo(node, service, hints, ret);
}

/* gaicb keeps its result where only libc writes it, under a name that is nobody's; this is its
 * beginning since there is a getaddrinfo_a. */
struct request {
    const char *name, *service;
    const struct addrinfo *hints;
    struct addrinfo *result;
    int status;
};

/* What is ours is answered at once; libc gets the others, gaps between them, and the telling of
 * who waits. */
HOOK(int, getaddrinfo_a, (int mode, struct gaicb *list[], int n, struct sigevent *event))
{
    S5_NEXT(real, "getaddrinfo_a", int, (int, struct gaicb *[], int, struct sigevent *));
    struct gaicb **others = n > 0 ? calloc((size_t)n, sizeof *others) : NULL;
    if (n > 0 && !others)
        return EAI_MEMORY;
    for (int i = 0; i < n; i++) {
        struct request *q = (struct request *)(void *)list[i];
        int r;
        if (q && q->name && look_up(q->name, q->service, q->hints, &q->result, &r))
            q->status = r;
        else
            others[i] = list[i];
    }
    int r = real(mode, others ? others : list, n, event);
    free(others);
    return r;
}

/* --- addresses back to names --- */

static int tell_name(struct s5_addr *name, char *host, socklen_t hostlen, int flags)
{
    char *told = NULL;
    if (name->name_len > 1 && name->name[name->name_len - 1] == '.')
        name->name[name->name_len - 1] = 0;
    int r = flags & NI_IDN ? s5_idn_decode(name->name, &told) : 0;
    const char *text = told ? told : name->name;
    if (r == 0 && strlen(text) >= hostlen)
        r = EAI_OVERFLOW;
    if (r == 0)
        memcpy(host, text, strlen(text) + 1);
    free(told);
    return r;
}

/* An address without a name is told as a number, as libc does when nobody answers. */
HOOK(int, getnameinfo,
     (const struct sockaddr *addr, socklen_t len, char *host, socklen_t hostlen, char *serv, socklen_t servlen,
      int flags))
{
    struct s5_engine *e = s5_begin();
    struct s5_addr a;
    if (s5_gate_open() && !s5_in_engine && host && hostlen && !(flags & NI_NUMERICHOST) &&
        s5_addr_from_sockaddr(&a, addr, len) == 0) {
        int saved = errno, r = s5_names_tell(e, &a);
        bool numeric = r < 0 || (r == 0 && !s5_addr_is_loopback(&a) && !s5_hosts_has_address(&a) &&
                                 s5_resolve_allowed(e, NULL) < 0);
        errno = saved;
        if (r > 0) {
            r = tell_name(&a, host, hostlen, flags);
            return r || !serv || !servlen ? r : s5_real.getnameinfo(addr, len, NULL, 0, serv, servlen, flags);
        }
        if (numeric && (flags & NI_NAMEREQD))
            return EAI_NONAME;
        if (numeric)
            flags |= NI_NUMERICHOST;
    }
    return s5_real.getnameinfo(addr, len, host, hostlen, serv, servlen, flags);
}

/* The resolver's hooks: a lookup libc would answer without a packet is libc's, any other goes to it
 * only where the rules let its DNS servers be reached directly. */
#include "real.h"
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <signal.h>

/* resolv.h gives these names another by macro; both are exported. */
#undef res_query
#undef res_search
#undef res_querydomain
#undef res_send
#undef res_nquery
#undef res_nsearch
#undef res_nquerydomain
#undef res_nsend

#define RES_REFUSED (h_errno = NO_RECOVERY, -1)

#define RESOLVER(ret_type, name, params, args, node, refusal)                                      \
    HOOK(ret_type, name, params)                                                                   \
    {                                                                                              \
        static ret_type(*real) params;                                                             \
        if (!real)                                                                                 \
            real = (ret_type(*) params)s5_real_find(#name);                                        \
        if (!real || s5_resolve_allowed(s5_preload(), node) < 0)                                   \
            return refusal;                                                                        \
        return real args;                                                                          \
    }
#include "resolver.def"

#define TWIN(name)                                                                                 \
    EXPORT __typeof__(hook_##name) hook___##name __asm__("__" #name) __attribute__((alias(#name)));
TWIN(res_query)
TWIN(res_search)
TWIN(res_querydomain)
TWIN(res_send)
TWIN(res_nquery)
TWIN(res_nsearch)
TWIN(res_nquerydomain)
TWIN(res_nsend)

HOOK(int, getaddrinfo,
     (const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret))
{
    bool numeric = !node || (hints && (hints->ai_flags & AI_NUMERICHOST));
    if (!numeric && s5_resolve_allowed(s5_preload(), node) < 0)
        return EAI_FAIL;
    return s5_real.getaddrinfo(node, service, hints, ret);
}

HOOK(int, getaddrinfo_a, (int mode, struct gaicb *list[], int n, struct sigevent *event))
{
    static int (*real)(int, struct gaicb *[], int, struct sigevent *);
    if (!real)
        real =
            (int (*)(int, struct gaicb *[], int, struct sigevent *))s5_real_find("getaddrinfo_a");
    for (int i = 0; i < n; i++)
        if (list[i] && list[i]->ar_name && s5_resolve_allowed(s5_preload(), list[i]->ar_name) < 0) {
            errno = EACCES;
            return EAI_SYSTEM;
        }
    return real(mode, list, n, event);
}

/* An address without a name is told as a number, as libc does when nobody answers. */
HOOK(int, getnameinfo,
     (const struct sockaddr *addr, socklen_t len, char *host, socklen_t hostlen, char *serv,
      socklen_t servlen, int flags))
{
    struct s5_addr a;
    bool asks = host && hostlen && !(flags & NI_NUMERICHOST) &&
                s5_addr_from_sockaddr(&a, addr, len) == 0 && !s5_addr_is_loopback(&a);
    if (asks && s5_resolve_allowed(s5_preload(), NULL) < 0) {
        if (flags & NI_NAMEREQD)
            return EAI_NONAME;
        flags |= NI_NUMERICHOST;
    }
    return s5_real.getnameinfo(addr, len, host, hostlen, serv, servlen, flags);
}

/* The resolver's lowest hooks: questions go to libc only where the rules let its DNS servers be
 * reached directly. */
#include "names.h"
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

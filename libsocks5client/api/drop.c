/* The drop-in functions are the functions of hooks/, built with other names (see hooks/real.h). This file has the two
 * functions that exist only for them. */
#define SOCKS5CLIENT_NO_MACROS
#include "export.h"
#include "real.h"
#include "socks5client/socks.h"
#include <string.h>

S5_EXPORT void SOCKSbegin(void)
{
    if (s5_gate_open())
        s5_begin();
}

S5_EXPORT int SOCKSinit(char *program)
{
    if (!s5_gate_open())
        return 0;
    struct s5_engine *e = s5_begin();
    int result = s5_engine_policy(e) ? 0 : atomic_load(&e->refusal);
    const char *slash = program ? strrchr(program, '/') : NULL;
    if (program && result == 0) {
        s5_format(e->program, sizeof e->program, "%s", slash ? slash + 1 : program);
        e->log.program = e->program;
    }
    return (int)s5_hook_result(result);
}

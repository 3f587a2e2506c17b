#include "start_session.h"
#include "identity.h"
#include <assert.h>
#include <string.h>

/* Not inlined: it has several callers and is large. */
__attribute__((noinline)) int s5_start_session(struct s5_session *session, const struct s5_negotiation *f,
                                               const struct s5_server *server, enum s5_command command,
                                               const struct s5_addr *dst, bool pipeline)
{
    struct s5_isolation_words words; /* used if the server is isolated */
    struct s5_session_setup setup = {
        .command = command,
        .dst = dst,
        .username = server->username,
        .username_len = server->username_len,
        .password = server->password,
        .password_len = server->password_len,
        .n_methods = server->n_methods,
        .pipeline = pipeline,
    };
    static_assert(sizeof setup.methods == sizeof server->methods, "methods are copied whole");
    memcpy(setup.methods, server->methods, sizeof setup.methods);
    if (server->isolate) {
        s5_identity_words(&words, server, &f->identity);
        setup.username = words.username;
        setup.username_len = words.username_len;
        setup.password = words.password;
        setup.password_len = words.password_len;
    }
    return s5_session_start(session, &setup);
}

/* What an isolated connection goes under. The secret that identities are made from is drawn by the
 * first process of a tree that needs it, and shared in its memory. A process is told by a number drawn at
 * its first isolated connection and by its process id: a program that was exec'ed begins anew, and so
 * does the child of a fork, also one that was made behind libc's back. */
#include "identity.h"
#include "engine.h"
#include <errno.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* *WORD, drawn by lot where it is 0 still. 0: there is no luck. */
static uint64_t drawn(_Atomic uint64_t *word)
{
    uint64_t have = atomic_load(word), lot;
    if (have)
        return have;
    int saved = errno;
    bool good = getrandom(&lot, sizeof lot, 0) == sizeof lot && lot;
    errno = saved;
    if (!good)
        return 0;
    return atomic_compare_exchange_strong(word, &have, lot) ? lot : have;
}

int s5_identity_choose(struct s5_engine *e, struct s5_identity *ret, const struct s5_server *server,
                       const struct s5_addr *dst)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    _Atomic uint64_t lot[2] = {0, 0};
    uint64_t key[2] = {0, 0}, process = drawn(&e->process);
    for (int i = 0; shm && i < 2; i++)
        key[i] = drawn(&shm->isolation[i]);
    if (!process || !key[0] || !key[1]) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: server \"%s\": no random numbers to isolate with",
               s5_policy_text(e->policy, server->name));
        return -EACCES;
    }
    process ^= (uint64_t)syscall(SYS_getpid) << 32;
    if (dst || !(server->isolate & S5_ISOLATE_DESTINATION)) {
        s5_isolation_derive(ret, key, server, process, dst);
        return 0;
    }
    /* Many destinations: nothing else goes under the same. */
    ret->words[0] = drawn(&lot[0]);
    ret->words[1] = drawn(&lot[1]);
    return ret->words[0] && ret->words[1] ? 0 : -EACCES;
}

void s5_identity_fork_child(struct s5_engine *e)
{
    atomic_store(&e->process, 0);
}

void s5_identity_words(struct s5_isolation_words *ret, const struct s5_server *server,
                       const struct s5_identity *identity)
{
    if (server->bridged)
        s5_isolation_words_for_bridge(ret, server, identity);
    else
        s5_isolation_words(ret, server, identity);
}

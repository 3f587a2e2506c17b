/* Chooses the identity of an isolated connection. Identities are derived from a secret, which the first process that
 * needs it draws at random and stores in the shared state. A process is identified by its process ID and by a random
 * number, which it draws at its first isolated connection. So a new program after an exec has a new identity, and so
 * has the child of a fork, even of a fork that bypassed libc. */
#include "identity.h"
#include "engine.h"
#include <errno.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns *WORD. Where it is 0, it is set to a random number first. 0: there are no random numbers. */
static uint64_t draw_word(_Atomic uint64_t *word)
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
    uint64_t key[2] = {0, 0}, process = draw_word(&e->process);
    for (int i = 0; shm && i < 2; i++)
        key[i] = draw_word(&shm->isolation[i]);
    if (!process || !key[0] || !key[1]) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: server \"%s\": no random numbers for isolation",
               s5_server_name(server));
        return -EACCES;
    }
    if (e->others)
        process = e->others->process();
    else
        process ^= (uint64_t)syscall(SYS_getpid) << 32;
    if (dst || !(server->isolate & S5_ISOLATE_DESTINATION)) {
        s5_isolation_derive(ret, key, server, process, dst);
        return 0;
    }
    /* Many destinations: a random identity, which nothing else has. */
    ret->words[0] = draw_word(&lot[0]);
    ret->words[1] = draw_word(&lot[1]);
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

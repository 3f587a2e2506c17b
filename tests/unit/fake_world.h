/* An engine over the fake network, with one server in its policy, and a script for the server that fails in a
 * given way after a given octet. */
#ifndef FAKE_WORLD_H
#define FAKE_WORLD_H

#include "engine.h"
#include "fake_net.h"
#include "forking.h"
#include "io.h"
#include "poll_select.h"
#include "server_cache.h"
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define USER      "alice"
#define SECRET    "secret"
#define TARGET4   "10.88.2.2"
#define TIMEOUT   20 /* s, the server's time-out */
#define TRAILER   "\xff\xff\xff\xff\xff"
#define HELLO     "hello"
#define A_WHILE   150   /* ms, for what may not happen */
#define LONG_WAIT 60000 /* ms, for what must happen */

enum method { NONE, PASSWORD, METHODS };
enum pipeline { OFF, ON, AUTO, PIPELINES };
enum way { GOOD, CLOSE, RESET, HALF_CLOSE, GARBAGE, STALL, WAYS };

static const char *const method_names[] = {"none", "password"};
static const char *const pipeline_names[] = {"off", "on", "auto"};
static const char *const way_names[] = {"good", "close", "reset", "half-close", "garbage", "stall"};

/* What the server does, and after which octet it stops. */
struct scene {
    enum method method;
    enum pipeline pipeline;
    enum way way;
    size_t at;  /* octets that the server sends */
    bool early; /* with AT 0: it stops before it has received anything */
    enum s5_command command;
};

static const uint8_t reply4[] = {5, 0, 0, 1, 10, 88, 2, 1, 0x12, 0x34};
static const uint8_t second4[] = {5, 0, 0, 1, 10, 88, 2, 2, 0x43, 0x21};

/* The number of octets before the reply, and up to the end of the last reply (BIND has two). */
static inline size_t head_size(enum method method)
{
    return method == PASSWORD ? 4 : 2;
}

static inline size_t whole_size(const struct scene *s)
{
    return head_size(s->method) + sizeof reply4 + (s->command == S5_BIND ? sizeof second4 : 0);
}

/* --- the server --- */

/* Returns false if the server stops here. */
static inline bool send_scene(struct fake_peer *p, const struct scene *s, const void *octets, size_t n)
{
    size_t part = (size_t)p->left < n ? (size_t)p->left : n;
    fake_say(p, octets, part);
    p->left -= (long)n;
    if (p->left >= 0)
        return true;
    if (s->way == GOOD)
        fake_say(p, HELLO, sizeof HELLO - 1);
    for (; s->way == GARBAGE && p->left < 0; p->left++)
        fake_say(p, "\xff", 1);
    if (s->way == GARBAGE)
        fake_say(p, TRAILER, sizeof TRAILER - 1);
    else if (s->way == CLOSE)
        fake_close(p);
    else if (s->way == RESET)
        fake_rst(p);
    else if (s->way == HALF_CLOSE)
        fake_half_close(p);
    return false;
}

/* Returns the size of the client's next message; 0: it has not arrived. */
static inline size_t scene_message(const struct fake_peer *p)
{
    const uint8_t *at = fake_look(p, 2);
    size_t n = 0;
    if (!at)
        return 0;
    if (p->stage == 0)
        n = 2u + at[1];
    else if (p->stage == 1) {
        size_t user = 2u + at[1];
        at = fake_look(p, user + 1);
        n = at ? user + 1 + at[user] : 0;
    } else
        n = 10;
    return n && fake_look(p, n) ? n : 0;
}

static inline void scene_script(struct fake_peer *p)
{
    enum { GREETING, WORDS, REQUEST, OVER };
    static const uint8_t selections[][2] = {{5, 0}, {5, 2}};
    const struct scene *s = p->user;
    size_t n;
    if (!p->n_heard) {
        p->left = (long)s->at;
        if (s->early && p->stage == GREETING) {
            p->stage = OVER;
            send_scene(p, s, selections[s->method], 2);
        }
    }
    while (p->stage >= 0 && p->stage < OVER && !p->ended && (n = scene_message(p))) {
        fake_take(p, n);
        bool goes_on = true;
        switch (p->stage) {
        case GREETING:
            goes_on = send_scene(p, s, selections[s->method], 2);
            p->stage = p->stage < 0 ? p->stage : s->method == PASSWORD ? WORDS : REQUEST;
            break;
        case WORDS:
            goes_on = send_scene(p, s, "\1\0", 2);
            p->stage = p->stage < 0 ? p->stage : REQUEST;
            break;
        default:
            p->stage = OVER;
            if (send_scene(p, s, reply4, sizeof reply4) &&
                (s->command != S5_BIND || send_scene(p, s, second4, sizeof second4)))
                send_scene(p, s, "?", 1);
        }
        if (!goes_on && p->stage >= 0)
            p->stage = OVER;
    }
}

/* --- what the client should send --- */

static inline size_t expected_words(const struct scene *s, uint8_t *ret, size_t *ret_greeting, size_t *ret_auth)
{
    static const uint8_t auth[] = "\1\5" USER "\6" SECRET;
    uint8_t request[10] = {5, (uint8_t)s->command, 0, 1};
    size_t n = 0;
    if (s->command == S5_CONNECT) {
        inet_pton(AF_INET, TARGET4, request + 4);
        request[9] = 80;
    }
    ret[n++] = 5;
    ret[n++] = 1;
    ret[n++] = s->method == PASSWORD ? 2 : 0;
    *ret_greeting = n;
    if (s->method == PASSWORD) {
        memcpy(ret + n, auth, sizeof auth - 1);
        n += sizeof auth - 1;
    }
    *ret_auth = n;
    memcpy(ret + n, request, sizeof request);
    return n + sizeof request;
}

/* P must have received a prefix of it. In the case of STEP, no message may have arrived before the reply to the
 * previous one. */
static inline void check_words(const struct scene *s, const struct fake_peer *p, bool step, const char *what)
{
    uint8_t words[128];
    size_t greeting, auth, n = expected_words(s, words, &greeting, &auth);
    if (step && s->at < 2)
        n = greeting;
    else if (step && s->at < head_size(s->method))
        n = auth;
    cr_assert(p->n_heard <= n && memcmp(p->heard, words, p->n_heard) == 0,
              "%s: the server heard %zu octets, not a beginning of %zu", what, p->n_heard, n);
}

/* --- the engine --- */

static inline void discard_line(void *user, const char *line, size_t n)
{
    (void)user, (void)line, (void)n;
}

static inline struct s5_engine *fake_engine(void)
{
    struct s5_engine *e = calloc(1, sizeof *e);
    struct s5_policy_file *file = calloc(1, sizeof *file);
    struct s5_policy *p = &file->policy;
    cr_assert(e && file);
    fake_reset();
    s5_engine_init(e, &fake_calls, NULL);
    e->log.level = S5_LOG_DEBUG;
    e->log.write = discard_line;
    s5_policy_init(p);
    cr_assert_eq(s5_policy_add_server(p, "server"), 0);
    struct s5_server *server = &p->servers[0];
    server->host = (uint32_t)s5_policy_add_text(p, FAKE_SERVER4, sizeof FAKE_SERVER4 - 1);
    server->port = FAKE_PORT;
    server->timeout = TIMEOUT;
    server->n_addrs = 1;
    server->addrs[0].kind = S5_ADDR_IPV4;
    inet_pton(AF_INET, FAKE_SERVER4, server->addrs[0].octets);
    p->rules[p->n_rules++] =
        (struct s5_rule){.commands = S5_CMD_CONNECT | S5_CMD_BIND | S5_CMD_UDP, .verdict = S5_VIA};
    s5_policy_add_via(p, 0, 0);
    e->policy_file = file;
    e->policy = p;
    e->server_keys[0] = s5_server_cache_key(p, server);
    atomic_store(&e->policy_state, S5_ENGINE_LOADED);
    return e;
}

static inline void end_engine(struct s5_engine *e)
{
    free(e->policy_file);
    free(e);
}

/* Starts the next case with scene S. The server is unknown to the engine again. */
static inline void set_scene(struct s5_engine *e, struct scene *s)
{
    struct s5_server *server = (struct s5_server *)(uintptr_t)&e->policy->servers[0];
    struct s5_shm *shm = atomic_load(&e->shm);
    fake_reset();
    fake_net.script = scene_script;
    fake_net.user = s;
    server->n_methods = 1;
    server->methods[0] = s->method == PASSWORD ? S5_METHOD_USERPASS : S5_METHOD_NONE;
    server->username_len = server->password_len = 0;
    if (s->method == PASSWORD) {
        server->username_len = sizeof USER - 1;
        server->password_len = sizeof SECRET - 1;
        memcpy(server->username, USER, sizeof USER - 1);
        memcpy(server->password, SECRET, sizeof SECRET - 1);
    }
    server->pipeline = s->pipeline == OFF ? S5_PIPELINE_OFF : s->pipeline == ON ? S5_PIPELINE_ON : S5_PIPELINE_AUTO;
    s5_server_cache_set_pipelining(shm->server_cache, "", e->server_keys[0], S5_PIPELINING_UNKNOWN);
    memset(&shm->last_peer, 0, sizeof shm->last_peer);
}

/* Nothing of the previous case may be left: no descriptors, no negotiations, no listeners. Only the server may
 * have been connected to. */
static inline void check_clean(struct s5_engine *e, const char *what)
{
    struct s5_shm *shm = atomic_load(&e->shm);
    uint32_t used = atomic_load(&shm->negotiations_used);
    cr_assert_eq(fake_open(), 0, "%s: %d descriptors are open", what, fake_open());
    cr_assert_eq(fake_alive(), 0, "%s: %d sockets are left", what, fake_alive());
    cr_assert_eq(fake_net.strays, 0, "%s: somebody else was dialled", what);
    cr_assert(!s5_registry_waits(&e->registry), "%s: something is in flight", what);
    for (uint32_t i = 0; i < used; i++)
        cr_assert_eq(atomic_load(&shm->negotiations[i].phase), S5_NEGOTIATION_FREE, "%s: a negotiation is left", what);
    for (uint32_t i = 0; i < atomic_load(&shm->listeners_used); i++)
        cr_assert_eq((uint32_t)atomic_load(&shm->listeners[i].references.use), 0, "%s: a listener is left", what);
}

/* --- the program --- */

static inline struct sockaddr_in target(uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, TARGET4, &sa.sin_addr);
    return sa;
}

static inline struct timespec milliseconds(int ms)
{
    return (struct timespec){ms / 1000, ms % 1000 * 1000000l};
}

/* Receives what arrives on FD within A_WHILE. Returns the number of octets in RET, which holds SIZE; -1: nothing
 * arrives; or -errno. */
static inline ssize_t said(struct s5_engine *e, int fd, void *ret, size_t size)
{
    struct pollfd p = {fd, POLLIN, 0};
    struct timespec limit = milliseconds(A_WHILE);
    int ready = s5_wait_poll(e, &p, 1, &limit, NULL);
    if (ready != 1)
        return -1;
    size_t n = 0;
    for (;;) {
        ssize_t r = s5_recvfrom(e, fd, (char *)ret + n, size - n, MSG_DONTWAIT, NULL, NULL);
        if (r < 0 && n == 0)
            return r;
        if (r <= 0)
            return (ssize_t)n;
        n += (size_t)r;
        p.revents = 0;
        if (s5_wait_poll(e, &p, 1, &limit, NULL) != 1)
            return (ssize_t)n;
    }
}

#endif

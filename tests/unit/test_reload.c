/* Policies of later generations in the shared memory, and a process that takes them. */
#include "auto_reload.h"
#include "engine.h"
#include "follow.h"
#include "policy_check.h"
#include "reload.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct s5_shm *shm;
static struct s5_shm_location place;
static const struct s5_merge none;
static struct s5_policy_file *file;
static uint32_t generation;

static void set_up(void)
{
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    cr_assert_geq(place.fd, 0);
}

static struct s5_policy *make(const char *password)
{
    struct s5_policy *p = calloc(1, sizeof *p);
    s5_policy_init(p);
    p->n_rules = 1;
    cr_assert_eq(s5_policy_add_server(p, "p"), 0);
    cr_assert_eq(s5_policy_add_via(p, 0, 0), 0);
    p->servers[0].password_len = (uint8_t)strlen(password);
    memcpy(p->servers[0].password, password, strlen(password));
    return p;
}

static void publish(const char *password)
{
    struct s5_policy *p = make(password);
    s5_reload_publish(shm, p, &none);
    free(p);
}

TestSuite(reload, .init = set_up);

Test(reload, newest_policy_is_fetched)
{
    cr_assert_eq(s5_reload_fetch(shm, &file, &generation), -ENOENT);
    for (unsigned i = 1; i < 5; i++) {
        char password[] = "secret0";
        password[6] = (char)('0' + i);
        publish(password);
        cr_assert_eq(s5_reload_fetch(shm, &file, &generation), 0);
        cr_assert(generation == i && file->generation == i);
        cr_assert_str_eq(file->policy.servers[0].password, password);
        file->policy.servers[0].password[0] = 'x';
        struct s5_server configured;
        cr_assert(s5_policy_file_server(-1, &file->policy.servers[0], &configured));
        cr_assert_str_eq(configured.password, password, "what a process makes of it is its own");
        s5_policy_file_unmap(file);
    }
}

Test(reload, policy_in_force_is_that_of_the_file_or_the_newest)
{
    struct s5_policy *p = make("first");
    s5_shm_publish(shm, place.fd, p, 1, "");
    free(p);
    file = s5_reload_current(shm, place.fd);
    cr_assert(file && file->generation == 0 && strcmp(file->policy.servers[0].password, "first") == 0);
    s5_policy_file_unmap(file);
    publish("second");
    file = s5_reload_current(shm, place.fd);
    cr_assert(file && file->generation == 1 && strcmp(file->policy.servers[0].password, "second") == 0);
    s5_policy_file_unmap(file);
}

Test(reload, hostile_memory_is_refused)
{
    static const struct {
        size_t at;
        uint32_t value;
    } bad[] = {
        {offsetof(struct s5_policy, n_servers), S5_POLICY_SERVERS + 1},
        {offsetof(struct s5_policy, n_rules), S5_POLICY_RULES + 1},
        {offsetof(struct s5_policy, n_matches), UINT32_MAX},
        {offsetof(struct s5_policy, n_ports), S5_POLICY_PORTS + 1},
        {offsetof(struct s5_policy, n_programs), S5_POLICY_PROGRAMS + 1},
        {offsetof(struct s5_policy, n_vias), S5_POLICY_VIAS + 1},
        {offsetof(struct s5_policy, n_text), S5_POLICY_TEXT + 1},
        {offsetof(struct s5_policy, vias), 7},
        {offsetof(struct s5_policy, servers[0].index), 0x01010101},
        {offsetof(struct s5_policy, servers[0].n_methods), UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        publish("secret");
        memcpy((char *)&shm->reloaded[atomic_load(&shm->generation) % S5_SHM_RELOADED] + bad[i].at, &bad[i].value,
               sizeof bad[i].value);
        cr_expect_eq(s5_reload_fetch(shm, &file, &generation), -EBADMSG, "%zu", i);
        cr_expect_eq(generation, atomic_load(&shm->generation));
        cr_expect_null(s5_reload_current(shm, place.fd));
    }
    atomic_store(&shm->generation, UINT32_MAX); /* nobody wrote it */
    memset(shm->reloaded, 0xff, sizeof shm->reloaded);
    cr_assert_eq(s5_reload_fetch(shm, &file, &generation), -EBADMSG);
}

Test(reload, one_process_at_a_time)
{
    int status, ends[2];
    char octet;
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool locked = s5_reload_lock(place.fd);
        (void)!write(ends[1], locked ? "l" : "n", 1);
        pause();
    }
    cr_assert(read(ends[0], &octet, 1) == 1 && octet == 'l');
    cr_assert_not(s5_reload_lock(place.fd));
    kill(pid, SIGKILL); /* and nothing has to be repaired */
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(s5_reload_lock(place.fd));
    s5_reload_unlock(place.fd);
}

Test(reload, reused_index_forgets_the_server_before)
{
    struct s5_server server = {.n_addrs = 1};
    struct s5_policy *p = make("secret");
    for (unsigned i = 0; i < 2; i++) {
        s5_shm_set_resolved(shm, i, &server);
        atomic_store(&shm->stats.servers[i].connected, 3);
    }
    s5_reload_publish(shm, p, &(struct s5_merge){.reused = 1u << 1});
    cr_assert(s5_shm_resolved(shm, 0, &server) && !s5_shm_resolved(shm, 1, &server));
    cr_assert(atomic_load(&shm->stats.servers[0].connected) == 3 && !atomic_load(&shm->stats.servers[1].connected));
    free(p);
}

/* --- a process --- */

static unsigned loads, lines;

static void count_loads(struct s5_engine *e)
{
    (void)e;
    loads++;
}

static void count_line(void *user, const char *line, size_t len)
{
    (void)user;
    cr_assert(memmem(line, len, "damaged", 7));
    lines++;
}

static struct s5_engine *begin_engine(void)
{
    static const struct s5_engine_events events = {NULL, count_loads, NULL, s5_follow};
    static struct s5_engine e;
    struct s5_policy *p = make("first");
    s5_shm_publish(shm, place.fd, p, 1, "/cache");
    free(p);
    e.events = &events;
    e.log = (struct s5_log){.level = S5_LOG_ERROR, .write = count_line};
    atomic_store(&e.shm, shm);
    atomic_store(&e.shm_fd, place.fd);
    e.policy_file = s5_shm_policy(shm, place.fd, NULL);
    e.policy = &e.policy_file->policy;
    e.policy_is_shared = true;
    e.tree_generation = &shm->generation;
    atomic_store(&e.policy_state, S5_ENGINE_LOADED);
    return &e;
}

Test(reload, process_takes_the_newest_policy)
{
    struct s5_engine *e = begin_engine();
    const struct s5_policy *first = s5_engine_policy(e);
    cr_assert_str_eq(first->servers[0].password, "first");
    publish("second");
    publish("third");
    const struct s5_policy *third = s5_engine_policy(e);
    cr_assert_str_eq(third->servers[0].password, "third");
    cr_assert_str_eq(first->servers[0].password, "first", "other threads may read it");
    cr_assert_eq(loads, 1);
    cr_assert_str_eq(e->policy_file->server_cache_path, "/cache");
    cr_assert_eq(e->server_keys[0], s5_server_cache_key(third, &third->servers[0]));
    cr_assert(s5_engine_policy(e) == third && e->policy_file->older == s5_policy_file_of(first));
    cr_assert_eq(loads, 1);
}

Test(reload, process_keeps_its_policy_if_the_memory_is_damaged)
{
    struct s5_engine *e = begin_engine();
    const struct s5_policy *first = s5_engine_policy(e);
    publish("second");
    shm->reloaded[1].n_vias = UINT32_MAX;
    for (int i = 0; i < 3; i++)
        cr_assert(s5_engine_policy(e) == first);
    cr_assert(lines == 1 && loads == 0);
    publish("third");
    cr_assert_str_eq(s5_engine_policy(e)->servers[0].password, "third");
}

Test(reload, process_with_a_policy_of_its_own_keeps_it)
{
    struct s5_engine *e = begin_engine();
    e->tree_generation = NULL;
    publish("second");
    cr_assert_str_eq(s5_engine_policy(e)->servers[0].password, "first");
}

Test(reload, thread_that_takes_it_is_not_awaited)
{
    struct s5_engine *e = begin_engine();
    publish("second");
    atomic_store(&e->following, 1);
    cr_assert_str_eq(s5_engine_policy(e)->servers[0].password, "first");
    atomic_store(&e->following, 0);
    cr_assert_str_eq(s5_engine_policy(e)->servers[0].password, "second");
}

/* --- "reload = auto" --- */

static char path[] = "/tmp/test_reload_XXXXXX";
static struct s5_fault fault;

static void write_conf(const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* Looks once, whenever the last look was. */
static int look(const struct s5_policy *p)
{
    static const struct s5_environment env;
    atomic_store(&shm->look_due, 0);
    fault.text[0] = '\0';
    return s5_auto_reload(shm, place.fd, p, &env, &fault);
}

static struct s5_policy *begin_auto(void)
{
    static const struct s5_environment env;
    struct s5_policy *p = calloc(1, sizeof *p);
    struct s5_source source = {path, NULL, env};
    cr_assert_geq(mkstemp(path), 0);
    write_conf("server a { address = 192.0.2.1 }\nrule x { via = a }\nreload = auto\n");
    cr_assert_eq(s5_source_load(p, &source, &fault), 0, "%s", fault.text);
    cr_assert(p->reload_auto && p->file_version && strcmp(s5_policy_text(p, p->file), path) == 0);
    s5_shm_publish(shm, place.fd, p, 1, "");
    return p;
}

Test(reload, file_that_was_the_same_at_two_looks_is_read)
{
    struct s5_policy *p = begin_auto();
    cr_assert(look(p) == 0 && look(p) == 0);
    write_conf("server b { address = 192.0.2.22 }\nrule x { via = b }\n");
    cr_assert_eq(look(p), 0, "it may still be being written");
    cr_assert_eq(look(p), 1);
    cr_assert_eq(atomic_load(&shm->generation), 1);
    file = s5_reload_current(shm, place.fd);
    cr_assert(file->policy.n_servers == 2 && !file->policy.reload_auto && file->policy.vias[0] == 1);
    cr_assert(look(&file->policy) == 0 && look(&file->policy) == 0);
    unlink(path);
    cr_assert(look(p) == 0 && look(p) == 0);
    s5_policy_file_unmap(file);
    free(p);
}

Test(reload, file_is_known_by_its_absolute_path)
{
    static const struct s5_environment env;
    struct s5_policy *p = begin_auto(), *other = calloc(1, sizeof *other);
    struct s5_source source = {strrchr(path, '/') + 1, NULL, env};
    cr_assert_eq(chdir("/tmp"), 0);
    cr_assert_eq(s5_source_load(other, &source, &fault), 0, "%s", fault.text);
    cr_assert_str_eq(s5_policy_text(other, other->file), path);
    cr_assert_str_eq(s5_policy_text(other, other->source), source.file, "as the user wrote it, for messages");
    cr_assert_eq(other->file_version, p->file_version);
    const char *const urls[] = {"socks5h://192.0.2.1", NULL};
    source = (struct s5_source){NULL, urls, env};
    cr_assert_eq(s5_source_load(other, &source, &fault), 0, "%s", fault.text);
    cr_assert(other->file == 0 && !other->reload_auto);
    unlink(path);
    free(p);
    free(other);
}

Test(reload, mistake_in_the_file_is_reported_once)
{
    struct s5_policy *p = begin_auto();
    write_conf("server a { address = 192.0.2.1 }\nrule longer { via = nobody }\n");
    cr_assert_eq(look(p), 0);
    cr_assert_lt(look(p), 0);
    cr_assert(strstr(fault.text, ":2: ") && strncmp(fault.text, path, strlen(path)) == 0, "%s", fault.text);
    cr_assert(look(p) == 0 && look(p) == 0);
    cr_assert_eq(atomic_load(&shm->generation), 0);
    write_conf("server a { address = 192.0.2.1 }\nrule even_longer { via = a }\n");
    cr_assert(look(p) == 0 && look(p) == 1);
    unlink(path);
    free(p);
}

Test(reload, one_look_a_second)
{
    static const struct s5_environment env;
    struct s5_policy *p = begin_auto();
    cr_assert_eq(look(p), 0);
    cr_assert_not(s5_auto_reload_is_due(shm));
    write_conf("nonsense");
    for (int i = 0; i < 5; i++)
        cr_assert_eq(s5_auto_reload(shm, place.fd, p, &env, &fault), 0);
    cr_assert_eq(atomic_load(&shm->file_seen), 0, "nobody has looked");
    unlink(path);
    free(p);
}

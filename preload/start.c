/* The beginning: once a process, before main where the loader lets us, and at the first call that
 * needs it otherwise. What the environment says is copied, since programs overwrite and clear it
 * and what they start must be covered all the same. */
#include "start.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

struct s5_engine s5_preload_engine = {.tree_fd = -1};

static const char *const kept_names[S5_KEPT] = {
    "SOCKS5_CONF", "SOCKS5_SERVER", "SOCKS_SERVER", "ALL_PROXY",     "all_proxy",
    "NO_PROXY",    "no_proxy",      "SOCKS5_USER",  "SOCKS5_PASSWD",
};

static struct {
    char *strings[S5_KEPT + 3]; /* "NAME=VALUE", NULL behind the last; HOME and XDG's at the end */
    int count;                  /* of those that children get back */
    char near[2048];            /* where they are kept when they fit */
} kept;

_Atomic int s5_preload_begun;

static const char *const read_names[] = {"HOME", "XDG_CONFIG_HOME"};

static size_t name_matches(const char *string, const char *name)
{
    size_t n = strlen(name);
    return string[0] == name[0] && strncmp(string, name, n) == 0 && string[n] == '=' ? n : 0;
}

static bool wanted(const char *string, bool *ret_kept)
{
    for (int i = 0; i < S5_KEPT; i++)
        if (name_matches(string, kept_names[i]))
            return *ret_kept = true;
    *ret_kept = false;
    for (size_t i = 0; i < sizeof read_names / sizeof *read_names; i++)
        if (name_matches(string, read_names[i]))
            return true;
    return false;
}

/* Copies of the strings that matter; first those that children get back. */
static void keep_environment(void)
{
    char *found[S5_KEPT + 2] = {NULL}, *others[2] = {NULL};
    int n = 0, m = 0;
    size_t total = 0;
    for (char **at = environ; at && *at; at++) {
        bool back;
        char first = **at;
        if (!strchr("SANnaHX", first) || !wanted(*at, &back))
            continue;
        if (back && n < S5_KEPT)
            found[n++] = *at;
        else if (!back && m < 2)
            others[m++] = *at;
        total += strlen(*at) + 1;
    }
    kept.count = n;
    for (int i = 0; i < m; i++)
        found[n++] = others[i];
    char *to = kept.near;
    if (total > sizeof kept.near)
        to = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < n && to != MAP_FAILED; i++) {
        kept.strings[i] = to;
        to = stpcpy(to, found[i]) + 1;
    }
}

static void fork_prepare(void)
{
    s5_engine_fork_prepare(&s5_preload_engine);
}

static void fork_child(void)
{
    s5_engine_fork_child(&s5_preload_engine);
}

/* Beside this object where that stands in the tree it was built in, else where it is installed. */
static int bridge_path(char *ret, size_t size)
{
    static const char built[] = "/../tools/bridge/socks5-bridge";
    const char *object = s5_start_object(), *slash = object ? strrchr(object, '/') : NULL;
    size_t n = slash ? (size_t)(slash - object) : 0;
    if (n && n + sizeof built <= size) {
        memcpy(ret, object, n);
        memcpy(ret + n, built, sizeof built);
        if (faccessat(AT_FDCWD, ret, X_OK, 0) == 0)
            return 0;
    }
    if (sizeof BRIDGE_PATH > size || faccessat(AT_FDCWD, BRIDGE_PATH, X_OK, 0) != 0)
        return -ENOENT;
    memcpy(ret, BRIDGE_PATH, sizeof BRIDGE_PATH);
    return 0;
}

static void begin(void)
{
    s5_preload_engine.bridge_path = bridge_path;
    const char *state = NULL;
    if (!getauxval(AT_SECURE)) {
        keep_environment();
        s5_environment_read(&s5_preload_engine.environment, kept.strings);
        state = getenv(S5_TREE_VARIABLE);
    }
    s5_engine_init(&s5_preload_engine, &s5_real, state);
    pthread_atfork(fork_prepare, NULL, fork_child);
}

struct s5_engine *s5_preload_begin(void)
{
    /* What the beginning itself calls may be hooked, and comes here again. */
    if (s5_engine_inside)
        return &s5_preload_engine;
    int none = 0;
    if (atomic_compare_exchange_strong(&s5_preload_begun, &none, 1)) {
        s5_engine_inside++;
        begin();
        s5_engine_inside--;
        atomic_store(&s5_preload_begun, 2);
    }
    while (atomic_load(&s5_preload_begun) != 2) {
        struct timespec pause = {0, 100000};
        nanosleep(&pause, NULL);
    }
    return &s5_preload_engine;
}

/* The first process of a tree tells its children of the tree through its own environment, so that
 * those find it too that are started where no hook sees it (system(), popen()). */
__attribute__((constructor)) static void start(void)
{
    struct s5_engine *e = s5_preload();
    if (e->state[0] && !getenv(S5_TREE_VARIABLE))
        putenv(e->state);
}

/* --- for children --- */

char *const *s5_start_kept(int *ret_count)
{
    *ret_count = kept.count;
    return kept.strings;
}

const char *s5_start_object(void)
{
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)s5_start_object, &info))
        return NULL;
    return strcmp(info.dli_fname, PRELOAD_PATH) == 0 ? PRELOAD_NAME : info.dli_fname;
}

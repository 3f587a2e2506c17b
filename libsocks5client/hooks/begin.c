/* The set-up of the engine: once in a process, at the first call that needs it. In the preload object that is before
 * main() where the loader allows it. The relevant environment variables are copied, since programs overwrite and clear
 * them, and the programs that they start must be covered all the same. */
#include "file.h"
#include "forking.h"
#include "in_engine.h"
#include "pass.h"
#include "real.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct s5_engine s5_begin_engine = {.shm_fd = -1};

static const char *const kept_names[S5_BEGIN_KEPT] = {
    "SOCKS5_CONF", "SOCKS5_SERVER", "SOCKS_SERVER", "ALL_PROXY",     "all_proxy",
    "NO_PROXY",    "no_proxy",      "SOCKS5_USER",  "SOCKS5_PASSWD", "SOCKS5_ISOLATE",
};

static struct {
    char *strings[S5_BEGIN_KEPT + 3]; /* "NAME=VALUE"; HOME and XDG_CONFIG_HOME last; then NULL */
    int count;                        /* of those restored for children */
    char near[2048];                  /* the copies, where they fit */
} kept;

static _Atomic int begun;         /* 0; 1 during the set-up; 2 after it */
static _Atomic uint32_t beginner; /* the process whose thread does the set-up */
_Atomic int *_Atomic s5_begin_mark = &begun;
__thread bool s5_begin_fork_watched __attribute__((tls_model("initial-exec")));

static const char *const read_names[] = {"HOME", "XDG_CONFIG_HOME"};

static size_t name_matches(const char *string, const char *name)
{
    size_t n = strlen(name);
    return string[0] == name[0] && strncmp(string, name, n) == 0 && string[n] == '=' ? n : 0;
}

static bool is_relevant(const char *string, bool *ret_kept)
{
    for (int i = 0; i < S5_BEGIN_KEPT; i++)
        if (name_matches(string, kept_names[i]))
            return *ret_kept = true;
    *ret_kept = false;
    for (size_t i = 0; i < sizeof read_names / sizeof *read_names; i++)
        if (name_matches(string, read_names[i]))
            return true;
    return false;
}

/* Copies the relevant strings. Those that are restored for children come first. */
static void keep_environment(void)
{
    char *found[S5_BEGIN_KEPT + 2] = {NULL}, *others[2] = {NULL};
    int n = 0, m = 0;
    size_t total = 0;
    for (char **at = environ; at && *at; at++) {
        bool back;
        char first = **at;
        if (!strchr("SANnaHX", first) || !is_relevant(*at, &back))
            continue;
        if (back && n < S5_BEGIN_KEPT)
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
    for (int i = 0; i < n; i++) {
        kept.strings[i] = to == MAP_FAILED ? found[i] : to; /* valid until the program overwrites it */
        if (to == MAP_FAILED)
            continue;
        to = stpcpy(to, found[i]) + 1;
    }
}

/* Maps a page that the kernel clears in copies of this process. NULL: not possible. */
static _Atomic int *make_mark(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, size, MADV_WIPEONFORK) == 0)
        return page;
    munmap(page, size);
    return NULL;
}

static __thread int before_fork __attribute__((tls_model("initial-exec"))); /* saved errno */

static void fork_prepare(void)
{
    s5_engine_fork_prepare(&s5_begin_engine);
    before_fork = errno;
    errno = 0;
}

/* libc also runs this where the fork failed, and reports that to its caller only. errno has the error of the system
 * call then. Other handlers may have changed it, so where a hook knows the result of the fork (s5_begin_fork_watched),
 * that hook does this. */
static void fork_parent(void)
{
    bool failed = errno == EAGAIN || errno == ENOMEM;
    errno = before_fork;
    if (!s5_begin_fork_watched)
        s5_engine_fork_parent(&s5_begin_engine, failed);
}

static void fork_child(void)
{
    errno = before_fork;
    s5_begin_forked();
}

void s5_begin_forked(void)
{
    _Atomic int *mark = atomic_load(&s5_begin_mark);
    struct s5_critical critical;
    int none = 0, saved = errno;
    s5_critical_begin(&critical); /* a handler would wait for the code it interrupted */
    /* qemu-user accepts the request to clear the page and does not clear it. The process ID decides then. */
    if (mark == &begun || atomic_compare_exchange_strong(mark, &none, 1) ||
        (none == 2 && !s5_engine_owns_memory(&s5_begin_engine))) {
        s5_engine_fork_child(&s5_begin_engine);
        s5_pass_fork_child(&s5_begin_engine);
        atomic_store(mark, 2);
    }
    s5_critical_end(&critical);
    errno = saved;
}

/* 0 or -ENOENT. */
static int find_bridge(char *ret, size_t size)
{
    return s5_file_find_program(ret, size, s5_begin_object(), "/../tools/bridge/socks5-bridge", BRIDGE_PATH);
}

static void set_up_engine(void)
{
    s5_begin_engine.bridge_path = find_bridge;
    const char *state = NULL;
    if (!getauxval(AT_SECURE)) {
        keep_environment();
        s5_environment_read(&s5_begin_engine.environment, kept.strings);
        state = getenv(S5_SHM_VARIABLE);
    }
    s5_engine_init(&s5_begin_engine, &s5_real, state);
    int shm = atomic_load(&s5_begin_engine.shm_fd);
    for (int fd = shm; S5_DROP && !state && s5_shm_has(shm, fd); fd++) /* programs started from here are not covered */
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* In a critical section: calls of a handler that interrupted it would be taken for calls of the set-up. */
static void set_up_once(void)
{
    struct s5_in_engine_section section;
    int none = 0;
    s5_in_engine_begin(&section);
    if (atomic_compare_exchange_strong(&begun, &none, 1)) {
        atomic_store(&beginner, (uint32_t)syscall(SYS_getpid));
        set_up_engine();
        _Atomic int *mark = make_mark();
        if (mark) {
            atomic_store(mark, 2);
            atomic_store(&s5_begin_mark, mark);
        }
        atomic_store(&begun, 2);
    }
    s5_in_engine_end(&section);
}

/* Restarts a set-up whose thread is not in this process: the process was forked during the set-up. */
static void restart_set_up(void)
{
    uint32_t was = atomic_load(&beginner);
    int at_it = 1;
    if (was && was != (uint32_t)syscall(SYS_getpid) && atomic_compare_exchange_strong(&beginner, &was, 0))
        atomic_compare_exchange_strong(&begun, &at_it, 0);
}

struct s5_engine *s5_begin_now(void)
{
    /* A call of the set-up itself may be hooked, and comes here again. */
    if (s5_in_engine)
        return &s5_begin_engine;
    for (;;) {
        if (atomic_load(&s5_begin_mark) == &begun)
            set_up_once();
        else
            s5_begin_forked(); /* forked by a system call that no hook saw */
        if (atomic_load(atomic_load(&s5_begin_mark)) == 2)
            break;
        restart_set_up();
        struct timespec pause = {0, 100000};
        nanosleep(&pause, NULL);
    }
    return &s5_begin_engine;
}

char *const *s5_begin_kept(int *ret_count)
{
    *ret_count = kept.count;
    return kept.strings;
}

const char *s5_begin_object(void)
{
    Dl_info info;
    return dladdr((void *)(uintptr_t)s5_begin_object, &info) ? info.dli_fname : NULL;
}

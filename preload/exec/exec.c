/* exec*, posix_spawn* and pidfd_spawn*. A program that cannot be covered is not started. One that can is given what it
 * needs to be covered: the preload object in LD_PRELOAD, the shared state in SOCKS5_STATE and, where its environment
 * was cleaned, the variables that the configuration came from.
 *
 * All of this may run in a child of vfork with the parent's memory, in a signal handler, and on a small stack. Nothing
 * of the process is changed, and nothing is allocated. The new environment is on the stack of the hook. A large one is
 * mapped; where a child of vfork maps it, it remains in the parent's memory. An environment that needs no change is
 * passed on as it is.
 *
 * The check of a program looks at the file from the process that calls exec, which has the root directory and the user
 * of the new program already. Only posix_spawn() changes something later: spawn_actions.c tells what. What execvp() and
 * its relatives search in PATH is searched here, as libc does it, and libc gets the path that was checked. */
#include "fd_ops.h"
#include "in_engine.h"
#include "program.h"
#include "reach.h"
#include "spawn_actions.h"
#include "start.h"
#include "user_memory.h"
#include <alloca.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <wordexp.h>

#define NEAR 2048 /* most octets of an environment on the stack */

/* --- the check of the program --- */

/* Functions around libc's, so that the table below costs the loader no symbol look-up. */
static int plain_openat(int dir, const char *path, int flags, ...)
{
    return openat(dir, path, flags); /* nothing is created */
}
static ssize_t plain_pread(int fd, void *buf, size_t n, off_t at)
{
    return pread(fd, buf, n, at);
}
static int plain_fstatat(int dir, const char *path, struct stat *ret, int flags)
{
    return fstatat(dir, path, ret, flags);
}
static int plain_close(int fd)
{
    return s5_begin()->real->close(fd);
}
static ssize_t plain_fgetxattr(int fd, const char *name, void *value, size_t size)
{
    return fgetxattr(fd, name, value, size);
}
static int plain_faccessat(int dir, const char *path, int mode, int flags)
{
    return faccessat(dir, path, mode, flags);
}

static const struct s5_program_calls program_calls = {
    plain_openat, plain_pread, plain_fstatat, plain_close, plain_fgetxattr, plain_faccessat,
};

static struct s5_program_place get_place(void)
{
    return (struct s5_program_place){.dir = AT_FDCWD, .object = s5_begin_object()};
}

/* Whether and how the file PATH in DIR (NULL: DIR itself) may be started in PLACE: 0 with PLAN, or -errno. Where exec
 * is certain to fail, 0: exec reports the error. */
static __attribute__((noinline)) int check_at(const struct s5_program_place *place, int dir, const char *path,
                                              struct s5_reach_plan *plan)
{
    struct s5_program_report report;
    struct s5_engine *e = s5_begin();
    int saved = errno, r = 0;
    plan->apart = plan->plain = plan->bare = false;
    r = s5_program_check(&program_calls, place, dir, path, &report);
    r = r < 0 ? 0 : s5_reach_decide(e, path, r, &report, plan);
    errno = saved;
    return r;
}

static int check_path(const char *path, struct s5_reach_plan *plan)
{
    struct s5_program_place place = get_place();
    return check_at(&place, AT_FDCWD, path ? path : S5_USER_NOWHERE, plan);
}

/* Finds the next file of the search S that may be started in PLACE: 0 with PLAN, or -errno. S->path is NULL if there is
 * none. */
static __attribute__((noinline)) int find_program(const struct s5_program_place *place, struct s5_program_search *s,
                                                  struct s5_reach_plan *plan)
{
    struct s5_program_report report;
    int saved = errno, r = s5_program_search_next(&program_calls, place, s, &report);
    plan->apart = plan->plain = plan->bare = false;
    if (s->path)
        r = r < 0 ? 0 : s5_reach_decide(s5_begin(), s->path, r, &report, plan);
    errno = saved;
    return r;
}

/* Begins a search S for FILE in PATH, in memory on the stack of the hook. */
#define BEGIN_SEARCH(s, file)                                                                                          \
    struct s5_program_search s;                                                                                        \
    const char *s##_path = getenv("PATH");                                                                             \
    s5_program_search_begin(&s, file, s##_path, alloca(s5_program_search_size(file, s##_path)))

/* --- the program's environment --- */

struct child {
    char *const *envp;   /* the environment it is started with */
    const char *preload; /* "LD_PRELOAD=..." of ENVP, or NULL */
    bool apart;          /* it is socks5-reach, which gets PRELOAD under another name */
    bool bare;           /* it gets no LD_PRELOAD */
    bool cleaned;        /* PRELOAD does not name this object */
    size_t size;         /* octets of a new environment; 0: ENVP needs no change */
    size_t mapped;       /* octets of it that are mapped; 0: it is on the stack */
    char state[sizeof(S5_SHM_VARIABLE) + S5_SHM_VALUE_MAX + 4];
};

static bool has_name(const char *string, const char *name)
{
    size_t n = strlen(name);
    return strncmp(string, name, n) == 0 && string[n] == '=';
}

/* Whether the list VALUE (of LD_PRELOAD) contains OBJECT. */
static bool has_object(const char *value, const char *object)
{
    size_t n = strlen(object);
    for (const char *at = value; (at = strstr(at, object)); at += n)
        if ((at == value || strchr(": ", at[-1])) && (!at[n] || strchr(": ", at[n])))
            return true;
    return false;
}

static void set_state(struct s5_engine *e, struct child *c)
{
    bool import = s5_fd_export_all(e);
    s5_fd_inherit_shm(e);
    c->state[0] = 0;
    if (e->state[0])
        s5_format(c->state, sizeof c->state, "%s%s", e->state, import ? ":a" : "");
}

/* Whether a string that begins with FIRST may be one of the variables and is read further. */
static bool can_be_variable(char first)
{
    int n;
    char *const *kept = s5_begin_kept(&n);
    bool may = first == "LD_PRELOAD"[0] || first == S5_SHM_VARIABLE[0];
    for (int i = 0; i < n; i++)
        may |= first == kept[i][0];
    return may;
}

/* Reads ENVP, which the kernel would read, and computes the size of a new environment. 0 or -errno. */
static int measure_environment(struct s5_engine *e, struct child *c, char *const *envp,
                               const struct s5_reach_plan *plan)
{
    const char *object = s5_start_object();
    int kept_count;
    size_t n = 0, states = 0, preloads = 0;
    bool right = false;
    s5_begin_kept(&kept_count);
    if (!object)
        return -EACCES;
    *c = (struct child){.envp = envp, .apart = plan->apart, .bare = plan->bare};
    set_state(e, c);
    for (; envp; n++) {
        char *string;
        if (!s5_user_read(&string, &envp[n], sizeof string))
            return -EFAULT;
        if (!string)
            break;
        if (!s5_user_may(string, 1, S5_USER_READ))
            return -EFAULT;
        if (can_be_variable(string[0]) && s5_user_string(string, INT_MAX) < 0)
            return -EFAULT;
        if (has_name(string, "LD_PRELOAD")) {
            c->preload = string;
            preloads++;
        } else if (has_name(string, S5_SHM_VARIABLE)) {
            right = strcmp(string, c->state) == 0;
            states++;
        }
    }
    c->cleaned = !c->preload || !has_object(c->preload + sizeof "LD_PRELOAD", object);
    if (!plan->apart && !plan->bare && !c->cleaned && preloads == 1 && states == (c->state[0] != 0) &&
        (right || !states))
        return 0;
    c->size = (n + (size_t)kept_count + 4) * sizeof(char *);
    if (c->cleaned || plan->apart)
        c->size += strlen(object) + sizeof S5_NAMESPACES_PRELOAD "=:" + (c->preload ? strlen(c->preload) : 0);
    return 0;
}

/* Makes the new environment in the C->SIZE octets of BUF. */
static void fill_environment(struct child *c, void *buf)
{
    int kept_count, n = 0;
    char *const *kept = s5_begin_kept(&kept_count);
    char **strings = buf, *end = (char *)buf + c->size;
    for (char *const *at = c->envp; at && *at; at++)
        if (!has_name(*at, "LD_PRELOAD") && !has_name(*at, S5_SHM_VARIABLE))
            strings[n++] = *at;
    for (int i = 0; c->cleaned && i < kept_count; i++) {
        bool there = false;
        size_t name = (size_t)(strchr(kept[i], '=') - kept[i]) + 1;
        for (int j = 0; j < n; j++)
            there |= strncmp(strings[j], kept[i], name) == 0;
        if (!there)
            strings[n++] = kept[i];
    }
    const char *before = c->preload ? c->preload + sizeof "LD_PRELOAD" : "", *object = s5_start_object();
    char *text = (char *)(uintptr_t)c->preload;
    if (c->cleaned || c->apart) {
        text = end - strlen(object) - sizeof S5_NAMESPACES_PRELOAD "=:" - strlen(before);
        s5_format(text, (size_t)(end - text), "%s=%s%s%s", c->apart ? S5_NAMESPACES_PRELOAD : "LD_PRELOAD",
                  c->cleaned ? object : "", c->cleaned && *before ? ":" : "", before);
    }
    if (!c->bare)
        strings[n++] = text;
    if (c->state[0])
        strings[n++] = c->state;
    strings[n] = NULL;
    c->envp = strings;
}

/* Makes the new environment where one is needed: in NEARBY or, where that is NULL, in mapped memory. 0 or -errno. */
static int make_environment(struct child *c, void *nearby)
{
    if (!c->size)
        return 0;
    void *buf = nearby;
    if (!buf)
        buf = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buf == MAP_FAILED)
        return -ENOMEM;
    c->mapped = nearby ? 0 : c->size;
    fill_environment(c, buf);
    return 0;
}

/* Unmaps the environment after exec failed, or when a child has it. Returns RESULT. */
static int release_environment(struct child *c, int result)
{
    int saved = errno;
    if (c->mapped)
        munmap((void *)(uintptr_t)c->envp, c->mapped);
    errno = saved;
    return result;
}

/* Used in every hook: makes the child's environment, on the hook's own stack where it fits. R is an error found before,
 * or 0, and becomes the error found here. */
#define CHILD(r, c, envp, plan)                                                                                        \
    struct child c;                                                                                                    \
    c.mapped = 0;                                                                                                      \
    c.size = 0;                                                                                                        \
    c.envp = envp;                                                                                                     \
    if (r == 0 && !(plan)->plain)                                                                                      \
        r = measure_environment(s5_begin(), &c, envp, plan);                                                           \
    if (r == 0)                                                                                                        \
    r = make_environment(&c, c.size && c.size <= NEAR ? alloca(c.size) : NULL)

/* Replaces FILE and ARGV by those of socks5-reach where PLAN says so, on the stack of the hook. R becomes -EFAULT where
 * ARGV cannot be read. */
#define GO_APART(r, plan, file, argv)                                                                                  \
    if ((r) == 0 && (plan)->apart) {                                                                                   \
        size_t n_words = s5_reach_count(argv);                                                                         \
        if (n_words) {                                                                                                 \
            char **words_ = alloca(n_words * sizeof *words_);                                                          \
            s5_reach_fill(words_, plan, file, argv);                                                                   \
            argv = words_;                                                                                             \
            file = words_[0];                                                                                          \
        } else                                                                                                         \
            r = -EFAULT;                                                                                               \
    }

/* Undoes the preparation for an exec, which failed or was a spawn. Returns R, its result. */
static int cancel_exec(int r)
{
    s5_fd_export_cancel(s5_begin());
    return r;
}

/* --- exec* and posix_spawn* --- */

/* Executes PATH as PLAN says. Returns -errno. */
static __attribute__((noinline)) int exec_planned(const struct s5_reach_plan *plan, const char *path,
                                                  char *const argv[], char *const envp[])
{
    FIND(real, execve);
    int r = 0;
    CHILD(r, c, envp, plan);
    GO_APART(r, plan, path, argv)
    if (r < 0)
        return release_environment(&c, r);
    real(path, argv, c.envp);
    return release_environment(&c, -errno);
}

HOOK(int, execve, (const char *path, char *const argv[], char *const envp[]))
{
    FIND(real, execve);
    if (s5_in_engine) /* the start of the bridge, not a call of the program */
        return real(path, argv, envp);
    struct s5_reach_plan plan;
    int r = check_path(path, &plan);
    return cancel_exec((int)s5_hook_result(r < 0 ? r : exec_planned(&plan, path, argv, envp)));
}

HOOK(int, execv, (const char *path, char *const argv[]))
{
    return execve(path, argv, environ);
}

/* Runs the file PATH by a shell, as libc does where the kernel does not know the format of the file. */
static void run_shell(const char *path, char *const argv[], char *const envp[])
{
    static const char shell[] = "/bin/sh";
    size_t n = 0;
    while (argv[n])
        n++;
    char **words = alloca((n + 3) * sizeof *words);
    words[0] = (char *)(uintptr_t)shell;
    words[1] = (char *)(uintptr_t)path;
    words[2] = NULL;
    if (n > 1)
        memcpy(words + 2, argv + 1, n * sizeof *words);
    execve(shell, words, envp);
}

HOOK(int, execvpe, (const char *file, char *const argv[], char *const envp[]))
{
    if (s5_user_string(file, PATH_MAX) < 0)
        return (int)s5_hook_result(-EFAULT);
    struct s5_program_place place = get_place();
    struct s5_reach_plan plan;
    BEGIN_SEARCH(search, file);
    int r = find_program(&place, &search, &plan);
    while (r == 0) {
        r = exec_planned(&plan, search.path, argv, envp);
        if (r == -ENOEXEC) {
            run_shell(search.path, argv, envp);
            r = -errno;
        }
        bool continues = s5_program_search_continues(-r);
        search.denied |= r == -EACCES;
        if (continues && search.denied)
            r = -EACCES;
        if (continues && search.rest)
            r = find_program(&place, &search, &plan);
    }
    return cancel_exec((int)s5_hook_result(r));
}

HOOK(int, execvp, (const char *file, char *const argv[]))
{
    return execvpe(file, argv, environ);
}

/* Executes the descriptor FD, or the file PATH in the directory FD, by socks5-reach, which gets it under a path in
 * /proc. An exec that closes FD would close it before socks5-reach executes the file. Returns -errno. */
static int exec_apart_fd(const struct s5_reach_plan *plan, int fd, const char *path, char *const argv[],
                         char *const envp[])
{
    FIND(real, fcntl);
    size_t size = (path ? strlen(path) : 0) + sizeof "/proc/self/fd/2147483647/";
    char *there = alloca(size);
    s5_format(there, size, path ? "/proc/self/fd/%d/%s" : "/proc/self/fd/%d", fd, path);
    int flags = real(fd, F_GETFD);
    real(fd, F_SETFD, flags & ~FD_CLOEXEC);
    int r = exec_planned(plan, there, argv, envp);
    real(fd, F_SETFD, flags);
    return r;
}

/* Executes the file PATH in DIR (NULL: DIR itself) by socks5-reach. Returns -errno. */
static __attribute__((noinline)) int exec_apart_at(const struct s5_reach_plan *plan, int dir, const char *path,
                                                   char *const argv[], char *const envp[])
{
    if (path && (dir == AT_FDCWD || path[0] == '/'))
        return exec_planned(plan, path, argv, envp);
    if (!path || strlen(path) + sizeof "/proc/self/fd/2147483647/" <= PATH_MAX)
        return exec_apart_fd(plan, dir, path, argv, envp);
    int fd = plain_openat(dir, path, O_PATH | O_CLOEXEC); /* the path would become too long */
    int r = fd < 0 ? -errno : exec_apart_fd(plan, fd, NULL, argv, envp);
    if (fd >= 0)
        plain_close(fd);
    return r;
}

HOOK(int, execveat, (int dir, const char *path, char *const argv[], char *const envp[], int flags))
{
    FIND(real, execveat);
    struct s5_program_place place = get_place();
    struct s5_reach_plan plan;
    bool itself = (flags & AT_EMPTY_PATH) && s5_user_string(path, 1) == 0;
    int r = check_at(&place, dir, itself ? NULL : path ? path : S5_USER_NOWHERE, &plan);
    if (r == 0 && plan.apart)
        return cancel_exec((int)s5_hook_result(exec_apart_at(&plan, dir, itself ? NULL : path, argv, envp)));
    CHILD(r, c, envp, &plan);
    return cancel_exec(r < 0 ? (int)s5_hook_result(r) : release_environment(&c, real(dir, path, argv, c.envp, flags)));
}

HOOK(int, fexecve, (int fd, char *const argv[], char *const envp[]))
{
    FIND(real, fexecve);
    struct s5_program_place place = get_place();
    struct s5_reach_plan plan;
    int r = check_at(&place, fd, NULL, &plan);
    if (r == 0 && plan.apart)
        return cancel_exec((int)s5_hook_result(exec_apart_at(&plan, fd, NULL, argv, envp)));
    CHILD(r, c, envp, &plan);
    return cancel_exec(r < 0 ? (int)s5_hook_result(r) : release_environment(&c, real(fd, argv, envp ? c.envp : NULL)));
}

/* The arguments of an execl*, NULL included, as a vector on the stack of the hook. */
#define GATHER(argv, first, args)                                                                                      \
    va_start(args, first);                                                                                             \
    size_t n_##argv = 1;                                                                                               \
    while (first && va_arg(args, char *))                                                                              \
        n_##argv++;                                                                                                    \
    va_end(args);                                                                                                      \
    char **argv = alloca((n_##argv + 1) * sizeof *argv);                                                               \
    argv[0] = (char *)(uintptr_t)first;                                                                                \
    va_start(args, first);                                                                                             \
    for (size_t i = 1; argv[0] && i <= n_##argv; i++)                                                                  \
    argv[i] = va_arg(args, char *)

HOOK(int, execl, (const char *path, const char *first, ...))
{
    va_list args;
    GATHER(argv, first, args);
    va_end(args);
    return execve(path, argv, environ);
}

HOOK(int, execlp, (const char *file, const char *first, ...))
{
    va_list args;
    GATHER(argv, first, args);
    va_end(args);
    return execvpe(file, argv, environ);
}

HOOK(int, execle, (const char *path, const char *first, ...))
{
    va_list args;
    GATHER(argv, first, args);
    char *const *envp = va_arg(args, char *const *);
    va_end(args);
    return execve(path, argv, envp);
}

/* The type of posix_spawn() and its relatives: *RESULT receives a process ID or a descriptor, and an error number is
 * returned. */
typedef int spawn_fn(int *result, const char *file, const posix_spawn_file_actions_t *actions,
                     const posix_spawnattr_t *attr, char *const argv[], char *const envp[]);

/* NAME is the function, and SEARCHED the one without a search for a function that searches FILE in PATH, else NULL. */
static int spawn_program(const char *name, const char *searched, int *result, const char *file,
                         const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr, char *const argv[],
                         char *const envp[])
{
    if (!s5_real_find(name))
        return ENOSYS;
    if (s5_user_string(file, PATH_MAX) < 0)
        return EFAULT;
    struct s5_program_place place = get_place();
    struct s5_reach_plan plan = {.apart = false};
    int r = s5_spawn_actions_place(actions, attr, &place);
    BEGIN_SEARCH(search, file);
    if (r == -EMFILE || r == -ENFILE || r == -ENOMEM) /* the program cannot be checked */
        return -r;
    if (r < 0) /* libc reports it */
        r = 0;
    else if (!searched)
        r = check_at(&place, place.dir, file, &plan);
    else if ((r = find_program(&place, &search, &plan)) == 0) {
        name = searched;
        file = search.path;
    } else if (!search.path) /* libc finds nothing either, and reports it after the file actions */
        r = 0;
    if (place.dir >= 0)
        program_calls.close(place.dir);
    spawn_fn *real = (spawn_fn *)s5_real_find(name);
    CHILD(r, c, envp, &plan);
    GO_APART(r, &plan, file, argv)
    return cancel_exec(r < 0 ? -release_environment(&c, r)
                             : release_environment(&c, real(result, file, actions, attr, argv, c.envp)));
}

#define SPAWN(name, searched)                                                                                          \
    HOOK(int, name,                                                                                                    \
         (int *result, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,     \
          char *const argv[], char *const envp[]))                                                                     \
    {                                                                                                                  \
        return spawn_program(#name, searched, result, file, actions, attr, argv, envp);                                \
    }

SPAWN(posix_spawn, NULL)
SPAWN(posix_spawnp, "posix_spawn")
/* Since glibc 2.39. The hooks exist with every libc, so that an object built with an older one covers programs on a
 * newer one. */
SPAWN(pidfd_spawn, NULL)
SPAWN(pidfd_spawnp, "pidfd_spawn")

/* --- shells that libc starts by itself, with the environment of the process: removed variables are restored --- */

/* The shared state may be at another place than in the environment that this process received. */
static void set_shm_variable(void)
{
    char *state = s5_begin()->state;
    const char *current = getenv(S5_SHM_VARIABLE);
    if (state[0] && (!current || strcmp(current, state + sizeof S5_SHM_VARIABLE) != 0))
        putenv(state);
}

static void restore_environment(void)
{
    const char *object = s5_start_object(), *preload = getenv("LD_PRELOAD");
    int n;
    char *const *kept = s5_begin_kept(&n);
    s5_fd_inherit_shm(s5_begin());
    set_shm_variable();
    if (!object || (preload && has_object(preload, object)))
        return;
    setenv("LD_PRELOAD", object, 1);
    for (int i = 0; i < n; i++) {
        char name[32];
        size_t len = (size_t)(strchr(kept[i], '=') - kept[i]);
        s5_format(name, sizeof name, "%.*s", (int)len, kept[i]);
        setenv(name, kept[i] + len + 1, 0);
    }
}

/* 0 or -errno. */
static int prepare_shell(void)
{
    struct s5_reach_plan plan;
    restore_environment();
    int r = check_path("/bin/sh", &plan);
    return r == 0 && plan.apart ? -EACCES : r; /* libc starts it, so nothing can be put before it */
}

HOOK(int, system, (const char *command))
{
    FIND(real, system);
    if (prepare_shell() < 0)
        return command ? W_EXITCODE(127, 0) : 0; /* as where there is no shell */
    return real(command);
}

HOOK(FILE *, popen, (const char *command, const char *mode))
{
    FIND(real, popen);
    int r = prepare_shell();
    if (r == 0)
        return real(command, mode);
    errno = -r;
    return NULL;
}

ALIAS(_IO_popen, popen)

/* The part of popen() for a stream that exists. No header declares it. */
HOOK(FILE *, _IO_proc_open, (FILE * stream, const char *command, const char *mode))
{
    __typeof__(&hook__IO_proc_open) real = (__typeof__(&hook__IO_proc_open))s5_real_find("_IO_proc_open");
    int r = real ? prepare_shell() : -ENOSYS;
    if (r == 0)
        return real(stream, command, mode);
    errno = -r;
    return NULL;
}

/* Where no shell can be started, words that need one are refused, and others are expanded. */
HOOK(int, wordexp, (const char *words, wordexp_t *ret, int flags))
{
    FIND(real, wordexp);
    if (!(flags & WRDE_NOCMD) && strpbrk(words, "`$") && prepare_shell() < 0)
        flags |= WRDE_NOCMD;
    return real(words, ret, flags);
}

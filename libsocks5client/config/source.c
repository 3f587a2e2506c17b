/* The first source that exists is used. A source that is named on the command line or in the environment must be valid;
 * otherwise it is an error. A default file that does not exist is skipped. */
#include "source.h"
#include "chains.h"
#include "config.h"
#include "credentials.h"
#include "environment.h"
#include "isolate.h"
#include "url.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYSTEM_FILE "/etc/socks5.conf"

static int set_source(struct s5_policy *p, const char *what)
{
    int64_t text = s5_policy_add_text(p, what, strlen(what));
    p->source = text < 0 ? 0 : (uint32_t)text;
    return 0;
}

#define URLS_MAX 8192 /* octets of a variable with several URLs */

/* TEXT: one URL, or several separated by blanks. */
static int load_from_url(struct s5_policy *p, const char *text, const char *where, const struct s5_environment *env,
                         struct s5_fault *ret_fault)
{
    static const char blanks[] = " \t\n";
    const char *urls[S5_POLICY_SERVERS + 1];
    char copy[URLS_MAX];
    unsigned n = 0;
    size_t len = strlen(text);
    set_source(p, where);
    if (!text[strcspn(text, blanks)])
        return s5_url_load(p, text, where, env, ret_fault);
    if (len >= sizeof copy)
        return s5_fault_set(ret_fault, -EINVAL, "%s: longer than %d octets", where, URLS_MAX - 1);
    memcpy(copy, text, len + 1);
    for (char *at = copy + strspn(copy, blanks), *end; *at && n <= S5_POLICY_SERVERS; at = end) {
        urls[n++] = at;
        end = at + strcspn(at, blanks);
        if (*end)
            *end++ = '\0';
        end += strspn(end, blanks);
    }
    int r = -EINVAL;
    if (n == 0)
        r = s5_fault_set(ret_fault, r, "%s: no URL", where);
    else if (n > S5_POLICY_SERVERS)
        r = s5_fault_set(ret_fault, r, "%s: more than %d URLs", where, S5_POLICY_SERVERS);
    else {
        urls[n] = NULL;
        r = s5_url_load_list(p, urls, where, env, ret_fault);
    }
    explicit_bzero(copy, sizeof copy);
    return r;
}

uint64_t s5_source_version(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    bool found = fd >= 0 && fstat(fd, &st) == 0;
    if (fd >= 0)
        syscall(SYS_close, fd); /* by number, past any hook */
    if (!found)
        return 0;
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */
    uint64_t values[] = {st.st_dev, st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
                         (uint64_t)st.st_mtim.tv_nsec};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        hash = (hash ^ values[i]) * 0x100000001b3ull;
    return hash ? hash : 1;
}

/* Stores the absolute path of PATH, by which a reload finds the file from any directory. */
static void set_file(struct s5_policy *p, const char *path)
{
    char absolute[2 * PATH_MAX];
    p->file = p->source;
    if (*path == '/' || !getcwd(absolute, PATH_MAX))
        return;
    size_t len = strlen(absolute);
    len += s5_format(absolute + len, sizeof absolute - len, "/%s", path);
    int64_t text = s5_policy_add_text(p, absolute, len);
    p->file = text < 0 ? 0 : (uint32_t)text;
}

static int load_from_file(struct s5_policy *p, const char *path, const struct s5_environment *env,
                          struct s5_fault *ret_fault)
{
    set_source(p, path);
    set_file(p, path);
    p->file_version = s5_source_version(path);
    return s5_config_load(p, path, env, ret_fault);
}

/* Returns true also where the file cannot be checked. */
static bool is_file_present(const char *path)
{
    return access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static int load_from_defaults(struct s5_policy *p, const struct s5_environment *env, struct s5_fault *ret_fault)
{
    char path[PATH_MAX];
    size_t len = 0;
    path[0] = 0;
    if (env->xdg_config_home && env->xdg_config_home[0] == '/')
        len = s5_format(path, sizeof path, "%s/socks5/socks5.conf", env->xdg_config_home);
    else if (env->home && env->home[0] == '/')
        len = s5_format(path, sizeof path, "%s/.config/socks5/socks5.conf", env->home);
    if (len == sizeof path - 1) /* truncated: it could name another file */
        return s5_fault_set(ret_fault, -ENAMETOOLONG, "%s: file name too long",
                            env->xdg_config_home ? "XDG_CONFIG_HOME" : "HOME");
    if (path[0] && is_file_present(path))
        return load_from_file(p, path, env, ret_fault);
    if (is_file_present(SYSTEM_FILE))
        return load_from_file(p, SYSTEM_FILE, env, ret_fault);
    return s5_fault_set(ret_fault, -ENOENT,
                        "no configuration: no SOCKS5_CONF, SOCKS5_SERVER, SOCKS_SERVER or "
                        "ALL_PROXY, no %s%s" SYSTEM_FILE,
                        path, path[0] ? ", no " : "");
}

static int load_first_source(struct s5_policy *p, const struct s5_source *source, struct s5_fault *ret_fault)
{
    const struct s5_environment *env = &source->env;
    if (source->file)
        return load_from_file(p, source->file, env, ret_fault);
    if (source->urls) {
        set_source(p, "-x");
        return s5_url_load_list(p, source->urls, "-x", env, ret_fault);
    }
    if (env->socks5_conf)
        return load_from_file(p, env->socks5_conf, env, ret_fault);
    if (env->socks5_server)
        return load_from_url(p, env->socks5_server, "SOCKS5_SERVER", env, ret_fault);
    if (env->socks_server)
        return load_from_url(p, env->socks_server, "SOCKS_SERVER", env, ret_fault);
    if (env->all_proxy)
        return load_from_url(p, env->all_proxy, "ALL_PROXY", env, ret_fault);
    return load_from_defaults(p, env, ret_fault);
}

int s5_source_load(struct s5_policy *p, const struct s5_source *source, struct s5_fault *ret_fault)
{
    s5_policy_init(p);
    int r = load_first_source(p, source, ret_fault);
    if (r >= 0)
        r = s5_isolate_resolve(p, &source->env, ret_fault);
    return r < 0 ? r : s5_chains_complete(p, ret_fault);
}

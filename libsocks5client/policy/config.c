/* A configuration file, read with libconfuse: the one file that knows it. The library is loaded
 * when a file is read and unloaded after, since the preload object may need libc alone.
 *
 * libconfuse reports through functions without a user argument, so what is being read hangs off a
 * thread-local pointer. Values are checked by its validation callbacks, while the line is known;
 * what only the whole file can tell (a rule's server) is checked after, by the line noted before.
 * The first fault is kept. */
#include "credentials.h"
#include "error.h"
#include "source.h"
#include <confuse.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1 << 20)

/* Every function used of the library. */
#define FUNCTIONS(X)                                                                               \
    X(cfg_init)                                                                                    \
    X(cfg_free) X(cfg_parse_fp) X(cfg_set_error_function) X(cfg_set_validate_func) X(cfg_error)    \
        X(cfg_size) X(cfg_getnsec) X(cfg_getstr) X(cfg_getint) X(cfg_getnstr) X(cfg_title)         \
            X(cfg_opt_getnint) X(cfg_opt_getnstr) X(cfg_opt_size)

struct library {
    void *handle;
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
};

/* The line at which a value of a section was given. */
struct noted {
    const cfg_t *section;
    int line;
};

struct reading {
    struct library lib;
    struct s5_policy *p;
    const char *path;
    const struct s5_environment *env;
    bool readable_by_others;
    struct noted via[S5_POLICY_RULES + 1];
    unsigned n_via;
    struct s5_fault *fault;
    bool failed;
};

static __thread struct reading *now __attribute__((tls_model("initial-exec")));

/* --- the library --- */

static int load_library(struct library *lib, struct s5_fault *ret_fault)
{
    lib->handle = dlopen("libconfuse.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!lib->handle)
        return s5_fault_set(ret_fault, -ELIBACC,
                            "libconfuse.so.2 is needed to read a configuration file: %s",
                            dlerror());
#define X(name)                                                                                    \
    lib->name = (__typeof__(lib->name))dlsym(lib->handle, #name);                                  \
    if (!lib->name)                                                                                \
        return s5_fault_set(ret_fault, -ELIBBAD, "libconfuse.so.2 has no " #name);
    __extension__({FUNCTIONS(X)});
#undef X
    return 0;
}

/* --- faults --- */

static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    char what[S5_FAULT_MAX / 2];
    if (now->failed)
        return;
    now->failed = true;
    vsnprintf(what, sizeof what, format, args);
    s5_format(now->fault->text, sizeof now->fault->text, "%s:%d: %s", now->path,
              cfg ? cfg->line : 0, what);
}

/* A fault found after reading, at LINE. */
__attribute__((format(printf, 2, 3))) static int wrong(int line, const char *format, ...)
{
    char what[S5_FAULT_MAX / 2];
    va_list args;
    va_start(args, format);
    s5_vformat(what, sizeof what, format, args);
    va_end(args);
    if (!now->failed)
        s5_format(now->fault->text, sizeof now->fault->text, "%s:%d: %s", now->path, line, what);
    now->failed = true;
    return -EINVAL;
}

/* --- single values --- */

static int index_in(const char *const *words, const char *word)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return -1;
}

static const char *const methods[] = {"none", "gssapi", "userpass", NULL}; /* by their numbers */
static const char *const pipelines[] = {"auto", "on", "off", NULL};        /* enum s5_pipeline */
static const char *const protections[] = {"clear", "integrity", "confidentiality", NULL};
static const char *const protocols[] = {"tcp", "udp", NULL};            /* bits of S5_PROTO_* */
static const char *const commands[] = {"connect", "bind", "udp", NULL}; /* bits of S5_CMD_* */
static const char *const resolves[] = {"remote", "local", NULL};

/* A value of every list must be one of WORDS. */
static int check_words(cfg_t *cfg, cfg_opt_t *opt, const char *const *words)
{
    for (unsigned i = 0; i < now->lib.cfg_opt_size(opt); i++) {
        const char *word = now->lib.cfg_opt_getnstr(opt, i);
        if (word && index_in(words, word) < 0) {
            now->lib.cfg_error(cfg, "%s: \"%s\" is not known", opt->name, word);
            return -1;
        }
    }
    return 0;
}

#define CHECK_WORDS(name)                                                                          \
    static int check_##name(cfg_t *cfg, cfg_opt_t *opt)                                            \
    {                                                                                              \
        return check_words(cfg, opt, name);                                                        \
    }
CHECK_WORDS(methods)
CHECK_WORDS(pipelines)
CHECK_WORDS(protections)
CHECK_WORDS(protocols)
CHECK_WORDS(commands)
CHECK_WORDS(resolves)

static int check_range(cfg_t *cfg, cfg_opt_t *opt, long most)
{
    long value = now->lib.cfg_opt_getnint(opt, 0);
    if (value >= 1 && value <= most)
        return 0;
    now->lib.cfg_error(cfg, "%s: %ld is not from 1 to %ld", opt->name, value, most);
    return -1;
}

static int check_port(cfg_t *cfg, cfg_opt_t *opt)
{
    return check_range(cfg, opt, 65535);
}

static int check_timeout(cfg_t *cfg, cfg_opt_t *opt)
{
    return check_range(cfg, opt, 3600);
}

/* Destinations and ports go into the policy's pools while their line is known; the rule takes its
 * share at the end of its section, so both are tried on the pool's end and taken back here. */
static int check_to(cfg_t *cfg, cfg_opt_t *opt)
{
    uint32_t n = now->p->n_matches, text = now->p->n_text;
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < now->lib.cfg_opt_size(opt); i++) {
        const char *to = now->lib.cfg_opt_getnstr(opt, i);
        r = s5_policy_add_match(now->p, to, strlen(to));
        if (r == -ENOSPC)
            now->lib.cfg_error(cfg, "to: too many destinations");
        else if (r < 0 && strchr(to, '/'))
            now->lib.cfg_error(
                cfg, "to: \"%s\" is no CIDR block (address/prefix, no bits beyond it)", to);
        else if (r < 0)
            now->lib.cfg_error(cfg, "to: \"%s\" is no address, block or name", to);
    }
    now->p->n_matches = n;
    now->p->n_text = text;
    return r < 0 ? -1 : 0;
}

static int check_ports(cfg_t *cfg, cfg_opt_t *opt)
{
    uint32_t n = now->p->n_ports;
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < now->lib.cfg_opt_size(opt); i++) {
        const char *ports = now->lib.cfg_opt_getnstr(opt, i);
        r = s5_policy_add_ports(now->p, ports);
        if (r < 0)
            now->lib.cfg_error(cfg, "ports: \"%s\" is no port or range from 1 to 65535", ports);
    }
    now->p->n_ports = n;
    return r < 0 ? -1 : 0;
}

static int check_via(cfg_t *cfg, cfg_opt_t *opt)
{
    if (now->lib.cfg_opt_size(opt) != 1) {
        now->lib.cfg_error(cfg, "via: takes one of \"direct\", \"deny\" or a server's title");
        return -1;
    }
    if (now->n_via < S5_POLICY_RULES + 1)
        now->via[now->n_via++] = (struct noted){cfg, cfg->line};
    return 0;
}

static int check_password(cfg_t *cfg, cfg_opt_t *opt)
{
    (void)opt;
    if (!now->readable_by_others)
        return 0;
    now->lib.cfg_error(cfg, "password in a file that others can read: chmod 600 it");
    return -1;
}

static int check_level(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *level = now->lib.cfg_opt_getnstr(opt, 0);
    if (level && s5_log_level_parse(level) >= 0)
        return 0;
    now->lib.cfg_error(cfg, "level: \"%s\" is not known", level ? level : "");
    return -1;
}

/* --- paths --- */

/* "~/" is HOME; what is relative is so to the configuration's directory. */
static int expand(const char *path, char *ret, size_t size)
{
    size_t n;
    const char *slash = strrchr(now->path, '/');
    if (path[0] == '~' && path[1] == '/') {
        if (!now->env->home)
            return -ENOENT;
        n = s5_format(ret, size, "%s%s", now->env->home, path + 1);
    } else if (path[0] == '/' || !slash)
        n = s5_format(ret, size, "%s", path);
    else
        n = s5_format(ret, size, "%.*s/%s", (int)(slash - now->path), now->path, path);
    return n >= size - 1 ? -ENAMETOOLONG : 0;
}

/* The first line of a file only its owner can read, into 256 octets with a NUL. */
static int read_password(const char *path, int line, char ret[static 256])
{
    struct stat st;
    char full[PATH_MAX], text[258];
    int r = expand(path, full, sizeof full);
    int fd = r < 0 ? -1 : open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return wrong(line, "password-file: %s: %s", path, s5_error_text(r < 0 ? r : errno));
    ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, text, sizeof text) : -1;
    int bad = n < 0 || (st.st_mode & 077);
    close(fd);
    if (n > 0 && text[n - 1] == '\n')
        n--;
    if (bad)
        r = wrong(line, "password-file: %s: %s", path,
                  n < 0 ? "not a readable file" : "others can read it: chmod 600 it");
    else if (n < 1 || n > 255 || memchr(text, 0, (size_t)n))
        r = wrong(line, "password-file: %s: does not hold 1 to 255 octets", path);
    else {
        memcpy(ret, text, (size_t)n);
        ret[n] = 0;
    }
    explicit_bzero(text, sizeof text);
    return r;
}

/* --- sections --- */

static int server_address(struct s5_server *server, const char *address, int line)
{
    struct s5_addr addr = {0};
    size_t len = address ? strlen(address) : 0;
    if (len == 0)
        return wrong(line, "server without an address");
    server->is_path = address[0] == '/';
    if (!server->is_path && s5_addr_parse(&addr, address, len, server->port) < 0)
        return wrong(line, "address: \"%s\" is no name or address", address);
    if (addr.kind == S5_ADDR_IPV4 || addr.kind == S5_ADDR_IPV6) {
        server->addrs[0].kind = addr.kind;
        memcpy(server->addrs[0].octets, addr.octets, sizeof server->addrs[0].octets);
        server->n_addrs = 1;
    }
    int64_t text = s5_policy_add_text(now->p, address, len);
    if (text < 0)
        return wrong(line, "the file holds too much text");
    server->host = (uint32_t)text;
    return 0;
}

static int server_methods(struct s5_server *server, cfg_t *section)
{
    for (unsigned i = 0; i < now->lib.cfg_size(section, "methods"); i++) {
        uint8_t method = (uint8_t)index_in(methods, now->lib.cfg_getnstr(section, "methods", i));
        if (memchr(server->methods, method, server->n_methods))
            return wrong(section->line, "methods: one is named twice");
        server->methods[server->n_methods++] = method;
    }
    return 0;
}

static int server_credentials(struct s5_server *server, cfg_t *section)
{
    char where[PATH_MAX + 16], from_file[256];
    const char *username = now->lib.cfg_getstr(section, "username");
    const char *password = now->lib.cfg_getstr(section, "password");
    const char *file = now->lib.cfg_getstr(section, "password-file");
    if (file && password)
        return wrong(section->line, "both password and password-file");
    if (file && read_password(file, section->line, from_file) < 0)
        return -EINVAL;
    s5_format(where, sizeof where, "%s:%d", now->path, section->line);
    int r = s5_credentials_set(server, username, file ? from_file : password, now->env, where,
                               now->fault);
    explicit_bzero(from_file, sizeof from_file);
    if (password)
        explicit_bzero((char *)(uintptr_t)password, strlen(password));
    return r;
}

static int take_server(cfg_t *section)
{
    const char *title = now->lib.cfg_title(section);
    if (strcmp(title, "direct") == 0 || strcmp(title, "deny") == 0)
        return wrong(section->line, "a server cannot be called \"%s\"", title);
    int at = s5_policy_add_server(now->p, title);
    if (at < 0)
        return wrong(section->line, "too many servers");
    struct s5_server *server = &now->p->servers[at];
    const char *service = now->lib.cfg_getstr(section, "gssapi-service");
    int64_t text = s5_policy_add_text(now->p, service, strlen(service));
    server->port = (uint16_t)now->lib.cfg_getint(section, "port");
    server->timeout = (uint16_t)now->lib.cfg_getint(section, "timeout");
    server->pipeline = (uint8_t)index_in(pipelines, now->lib.cfg_getstr(section, "pipeline"));
    server->gssapi_protection =
        (uint8_t)index_in(protections, now->lib.cfg_getstr(section, "gssapi-protection"));
    server->gssapi_service = text < 0 ? 0 : (uint32_t)text;
    int r = server_address(server, now->lib.cfg_getstr(section, "address"), section->line);
    if (r == 0)
        r = server_methods(server, section);
    return r < 0 ? r : server_credentials(server, section);
}

static uint8_t bits(cfg_t *section, const char *name, const char *const *words)
{
    uint8_t set = 0;
    for (unsigned i = 0; i < now->lib.cfg_size(section, name); i++)
        set |= (uint8_t)(1u << index_in(words, now->lib.cfg_getnstr(section, name, i)));
    return set;
}

static int verdict(struct s5_rule *rule, cfg_t *section, int line)
{
    if (now->lib.cfg_size(section, "via") != 1)
        return wrong(line, "rule without via");
    const char *via = now->lib.cfg_getnstr(section, "via", 0);
    rule->verdict = strcmp(via, "direct") == 0 ? S5_DIRECT
                    : strcmp(via, "deny") == 0 ? S5_DENY
                                               : S5_VIA;
    if (rule->verdict != S5_VIA)
        return 0;
    for (uint32_t i = 0; i < now->p->n_servers; i++)
        if (strcmp(s5_policy_text(now->p, now->p->servers[i].name), via) == 0) {
            rule->server = (uint8_t)i;
            return 0;
        }
    return wrong(line, "via: there is no server \"%s\"", via);
}

static int take_rule(cfg_t *section)
{
    struct s5_policy *p = now->p;
    int line = section->line;
    const char *title = now->lib.cfg_title(section);
    int64_t name = s5_policy_add_text(p, title, strlen(title));
    for (unsigned i = 0; i < now->n_via; i++)
        if (now->via[i].section == section)
            line = now->via[i].line;
    if (name < 0 || p->n_rules >= S5_POLICY_RULES)
        return wrong(line, "too many rules");
    struct s5_rule *rule = &p->rules[p->n_rules++];
    memset(rule, 0, sizeof *rule);
    rule->name = (uint32_t)name;
    rule->line = (uint32_t)line;
    rule->to_first = (uint16_t)p->n_matches;
    rule->ports_first = (uint16_t)p->n_ports;
    rule->protocols = bits(section, "protocol", protocols);
    rule->commands = bits(section, "command", commands);
    for (unsigned i = 0; i < now->lib.cfg_size(section, "to"); i++, rule->to_count++) {
        const char *to = now->lib.cfg_getnstr(section, "to", i);
        if (s5_policy_add_match(p, to, strlen(to)) < 0)
            return wrong(line, "too many destinations in all rules");
    }
    for (unsigned i = 0; i < now->lib.cfg_size(section, "ports"); i++, rule->ports_count++)
        if (s5_policy_add_ports(p, now->lib.cfg_getnstr(section, "ports", i)) < 0)
            return wrong(line, "too many port ranges in all rules");
    return verdict(rule, section, line);
}

static int take_log(cfg_t *section)
{
    char path[PATH_MAX];
    const char *file = now->lib.cfg_getstr(section, "file");
    now->p->log_level = (uint8_t)s5_log_level_parse(now->lib.cfg_getstr(section, "level"));
    if (!file || !*file)
        return 0;
    int r = expand(file, path, sizeof path);
    int64_t text = r < 0 ? r : s5_policy_add_text(now->p, path, strlen(path));
    if (text < 0)
        return wrong(section->line, "file: \"%s\": %s", file, s5_error_text((int)text));
    now->p->log_file = (uint32_t)text;
    return 0;
}

static int take_all(cfg_t *cfg)
{
    int r = 0;
    now->p->resolve_local = strcmp(now->lib.cfg_getstr(cfg, "resolve"), "local") == 0;
    for (unsigned i = 0; r == 0 && i < now->lib.cfg_size(cfg, "server"); i++)
        r = take_server(now->lib.cfg_getnsec(cfg, "server", i));
    for (unsigned i = 0; r == 0 && i < now->lib.cfg_size(cfg, "rule"); i++)
        r = take_rule(now->lib.cfg_getnsec(cfg, "rule", i));
    for (unsigned i = 0; r == 0 && i < now->lib.cfg_size(cfg, "log"); i++)
        r = take_log(now->lib.cfg_getnsec(cfg, "log", i));
    return r;
}

/* --- the file --- */

static cfg_opt_t server_options[] = {
    CFG_STR("address", NULL, CFGF_NONE),
    CFG_INT("port", 1080, CFGF_NONE),
    CFG_STR_LIST("methods", NULL, CFGF_NODEFAULT),
    CFG_STR("username", NULL, CFGF_NONE),
    CFG_STR("password", NULL, CFGF_NONE),
    CFG_STR("password-file", NULL, CFGF_NONE),
    CFG_STR("gssapi-service", "rcmd", CFGF_NONE),
    CFG_STR("gssapi-protection", "confidentiality", CFGF_NONE),
    CFG_STR("pipeline", "auto", CFGF_NONE),
    CFG_INT("timeout", 30, CFGF_NONE),
    CFG_END(),
};
static cfg_opt_t rule_options[] = {
    CFG_STR_LIST("to", NULL, CFGF_NODEFAULT),       CFG_STR_LIST("ports", NULL, CFGF_NODEFAULT),
    CFG_STR_LIST("protocol", NULL, CFGF_NODEFAULT), CFG_STR_LIST("command", NULL, CFGF_NODEFAULT),
    CFG_STR_LIST("via", NULL, CFGF_NODEFAULT),      CFG_END(),
};
static cfg_opt_t log_options[] = {
    CFG_STR("level", "error", CFGF_NONE),
    CFG_STR("file", NULL, CFGF_NONE),
    CFG_END(),
};
static cfg_opt_t options[] = {
    CFG_SEC("server", server_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_SEC("rule", rule_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    CFG_SEC("log", log_options, CFGF_NODEFAULT),
    CFG_STR("resolve", "remote", CFGF_NONE),
    CFG_END(),
};

static const struct {
    const char *option;
    cfg_validate_callback_t check;
} checks[] = {
    {"server|port", check_port},
    {"server|methods", check_methods},
    {"server|password", check_password},
    {"server|pipeline", check_pipelines},
    {"server|gssapi-protection", check_protections},
    {"server|timeout", check_timeout},
    {"rule|to", check_to},
    {"rule|ports", check_ports},
    {"rule|protocol", check_protocols},
    {"rule|command", check_commands},
    {"rule|via", check_via},
    {"log|level", check_level},
    {"resolve", check_resolves},
};

static int parse(FILE *file)
{
    cfg_t *cfg = now->lib.cfg_init(options, CFGF_NONE);
    if (!cfg)
        return -ENOMEM;
    cfg->filename = strdup(now->path); /* cfg_free() frees it */
    now->lib.cfg_set_error_function(cfg, on_error);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        now->lib.cfg_set_validate_func(cfg, checks[i].option, checks[i].check);
    int r =
        now->lib.cfg_parse_fp(cfg, file) == CFG_SUCCESS && !now->failed ? take_all(cfg) : -EINVAL;
    now->lib.cfg_free(cfg);
    return r;
}

static int open_file(struct reading *reading, FILE **ret)
{
    struct stat st;
    int fd = open(reading->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return s5_fault_set(reading->fault, -errno, "%s: %s", reading->path, s5_error_text(errno));
    const char *bad = fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ? "not a regular file"
                      : st.st_size > FILE_MAX                     ? "larger than 1 MiB"
                                                                  : NULL;
    *ret = bad ? NULL : fdopen(fd, "r");
    if (*ret) {
        reading->readable_by_others = st.st_mode & 077;
        return 0;
    }
    close(fd);
    return s5_fault_set(reading->fault, -EINVAL, "%s: %s", reading->path,
                        bad ? bad : "out of memory");
}

int s5_config_load(struct s5_policy *p, const char *path, const struct s5_environment *env,
                   struct s5_fault *ret_fault)
{
    struct reading reading = {.p = p, .path = path, .env = env, .fault = ret_fault};
    char buffer[4096];
    FILE *file = NULL;
    ret_fault->text[0] = 0;
    int r = open_file(&reading, &file);
    if (r == 0)
        r = load_library(&reading.lib, ret_fault);
    if (r == 0) {
        struct reading *before = now;
        setvbuf(file, buffer, _IOFBF, sizeof buffer);
        now = &reading;
        r = parse(file);
        now = before;
        if (r < 0 && !ret_fault->text[0])
            s5_format(ret_fault->text, sizeof ret_fault->text, "%s: cannot be read", path);
    }
    if (file)
        fclose(file);
    if (reading.lib.handle)
        dlclose(reading.lib.handle);
    explicit_bzero(buffer, sizeof buffer); /* it may have held a password */
    return r;
}

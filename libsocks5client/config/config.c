/* A configuration file, read with libconfuse: the one file that knows it. The library is loaded
 * when a file is read and unloaded after, since the preload object may need libc alone.
 *
 * The file is read into memory, made fit by config_text.c, and given to libconfuse as a stream. Its
 * callbacks have no user argument, so what is being read hangs off a thread-local pointer; its
 * lexer has state of its own, so one file is read at a time in a process. A value is checked when
 * libconfuse sets it, while the line is known; a section is turned into a server or a rule where it
 * ends; "via" is looked up after the end, as servers may follow rules. The first fault is kept.
 *
 * All this happens inside other people's processes: nothing is printed, nothing is left behind. A
 * password is taken before libconfuse stores it, and the stream ends in what makes the lexer
 * overwrite its buffers: a comment, for which it clears its text buffer, and more blanks than its
 * input buffer holds at once. */
#include "config.h"
#include "config_memory.h"
#include "config_text.h"
#include "config_values.h"
#include "credentials.h"
#include "file.h"
#include <confuse.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX (1u << 20)
#define NEEDED   "%s: reading it needs libconfuse.so.2 (package libconfuse2)"
#define TAIL     "\n#\n"
#define BLANKS   16000 /* flex reads 8 KiB at a time into a buffer of 16 KiB */

/* Every function used of the library. */
#define FUNCTIONS(X)                                                                                                   \
    X(cfg_init)                                                                                                        \
    X(cfg_free)                                                                                                        \
    X(cfg_parse_fp)                                                                                                    \
    X(cfg_set_error_function)                                                                                          \
    X(cfg_getnsec)                                                                                                     \
    X(cfg_getstr)                                                                                                      \
    X(cfg_getnstr)                                                                                                     \
    X(cfg_size)                                                                                                        \
    X(cfg_title)

struct library {
    void *handle;
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
};

struct reading {
    struct library lib;
    struct s5_policy *p;
    const char *path;
    const struct s5_environment *env;
    struct s5_fault *fault;
    bool failed;                    /* FAULT holds the first one */
    bool exposed;                   /* others than its owner can read the file */
    struct s5_config_text text;     /* its lines */
    unsigned n_ended;               /* sections that have ended */
    int last_line;                  /* where a value was last seen */
    int lines[S5_CONFIG_KEYS];      /* of the section being read: where each key is, or 0 */
    int via_lines[S5_POLICY_RULES]; /* of each rule: where its via is */
    int password_line;              /* of the section being read, or 0 */
    int secret_line;                /* where a password was last seen, or 0 */
    char password[256];             /* the same, with a NUL */
};

static __thread struct reading *now __attribute__((tls_model("initial-exec")));

/* --- faults --- */

__attribute__((format(printf, 2, 3))) static int wrong(int line, const char *format, ...)
{
    char what[S5_FAULT_MAX];
    va_list args;
    va_start(args, format);
    s5_vformat(what, sizeof what, format, args);
    va_end(args);
    if (!now->failed)
        s5_format(now->fault->text, sizeof now->fault->text, "%s:%d: %s", now->path, line, what);
    now->failed = true;
    return -EINVAL;
}

/* libconfuse's own faults. What stands on the line of a password may be a piece of it. */
static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    char what[S5_FAULT_MAX];
    int line = cfg ? cfg->line : now->last_line;
    s5_vformat(what, sizeof what, format, args);
    s5_config_text_hide_password(what);
    if (line > now->text.lines)
        wrong(now->text.lines, "the file ends too early");
    else if (line > 0 && line == now->secret_line)
        wrong(line, "the password is not followed by a key; if it has blanks or signs, quote it");
    else
        wrong(line, "%s", what);
}

/* --- keys --- */

/* The line of KEY in the section being read, 0 when it is not there. */
static int *line_of(const char *key)
{
    return &now->lines[s5_config_key(key)];
}

static int check(int line, const char *key, const char *value)
{
    char why[S5_CONFIG_WHY];
    return s5_config_check(now->p, key, value, why) < 0 ? wrong(line, "%s", why) : 0;
}

/* Note where KEY stands. */
static int note(cfg_t *cfg, cfg_opt_t *opt)
{
    int *line = line_of(opt->name);
    now->last_line = cfg->line;
    if (*line && !(opt->flags & CFGF_LIST))
        return wrong(cfg->line, "%s is given twice", opt->name);
    *line = cfg->line;
    return 0;
}

/* A value was set; of a list, the last one. At the end of a list it is called once more. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = opt->nvalues ? opt->values[opt->nvalues - 1]->string : NULL;
    int r = note(cfg, opt);
    return r < 0 || !value ? r : check(cfg->line, opt->name, value);
}

/* A password is about to be set: it is kept here, and libconfuse gets the empty text. */
static int on_password(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    int r = note(cfg, opt);
    now->password_line = now->secret_line = cfg->line;
    if (r == 0 && now->exposed)
        r = wrong(cfg->line, "password in a file that others can read: chmod 600 %s", now->path);
    if (r == 0)
        r = check(cfg->line, opt->name, value);
    if (r < 0)
        return -1;
    memcpy(now->password, value, strlen(value) + 1);
    *(const char **)result = "";
    return 0;
}

/* --- sections: LINE is where the section opens --- */

static const char *get(cfg_t *section, const char *key)
{
    return now->lib.cfg_getstr(section, key);
}

/* The number in KEY, or OTHERWISE. */
static int number(cfg_t *section, const char *key, int otherwise)
{
    const char *text = get(section, key);
    return text ? s5_config_number(text, 1, 65535) : otherwise;
}

static int word(cfg_t *section, const char *key, int otherwise)
{
    const char *text = get(section, key);
    return text ? s5_config_word(key, text) : otherwise;
}

static uint8_t bits(cfg_t *section, const char *key)
{
    uint8_t set = 0;
    for (unsigned i = 0; i < now->lib.cfg_size(section, key); i++)
        set |= (uint8_t)(1u << s5_config_word(key, now->lib.cfg_getnstr(section, key, i)));
    return set;
}

/* 0 where it is not there. */
static int isolation(cfg_t *section, uint8_t *ret)
{
    *ret = bits(section, "isolate");
    if (*ret & S5_ISOLATE_NONE && *ret != S5_ISOLATE_NONE)
        return wrong(*line_of("isolate"), "isolate: \"none\" stands alone");
    return 0;
}

static int server_host(struct s5_server *server, cfg_t *section, int line)
{
    char why[S5_CONFIG_WHY];
    const char *address = get(section, "address");
    if (!address)
        return wrong(line, "server \"%s\" has no address", now->lib.cfg_title(section));
    if (s5_config_host(now->p, server, address, now->env->home, why) < 0)
        return wrong(*line_of("address"), "%s", why);
    return 0;
}

static int server_methods(struct s5_server *server, cfg_t *section)
{
    for (unsigned i = 0; i < now->lib.cfg_size(section, "methods"); i++) {
        const char *name = now->lib.cfg_getnstr(section, "methods", i);
        uint8_t method = (uint8_t)s5_config_word("methods", name);
        if (memchr(server->methods, method, server->n_methods))
            return wrong(*line_of("methods"), "methods: \"%s\" is named twice", name);
        server->methods[server->n_methods++] = method;
    }
    return 0;
}

/* What the password file holds, into now->password. */
static int read_password(const char *name)
{
    char path[S5_FILE_PATH], text[S5_CONFIG_WHY];
    int line = *line_of("password-file");
    const char *why;
    if (now->password_line)
        return wrong(line, "both password and password-file");
    if (s5_file_beside(path, name, now->path, now->env->home, &why) < 0)
        return wrong(line, "password-file: %s: %s", name, why);
    if (s5_credentials_read(now->password, path, text) < 0)
        return wrong(line, "password-file: %s", text);
    return 0;
}

static int server_credentials(struct s5_server *server, cfg_t *section, int line)
{
    const char *username = get(section, "username"), *name = get(section, "password-file");
    if (name && read_password(name) < 0)
        return -EINVAL;
    bool given = now->password_line || name;
    if (given && !username)
        username = now->env->user;
    if (given && !username)
        return wrong(line, "password without a username, and SOCKS5_USER is not set");
    char where[S5_FAULT_MAX / 2];
    line = get(section, "username") ? *line_of("username") : *line_of("methods") ? *line_of("methods") : line;
    s5_format(where, sizeof where, "%s:%d", now->path, line);
    int r = s5_credentials_set(server, username, given ? now->password : NULL, now->env, where, now->fault);
    now->failed = now->failed || r < 0;
    return r;
}

static int take_server(cfg_t *section, int line)
{
    const char *title = now->lib.cfg_title(section), *service = get(section, "gssapi-service");
    if (!*title || strcmp(title, "direct") == 0 || strcmp(title, "deny") == 0)
        return wrong(line, "a server cannot be called \"%s\"", title);
    int at = s5_policy_add_server(now->p, title);
    int64_t text = service ? s5_policy_add_text(now->p, service, strlen(service)) : 0;
    if (at < 0 || text < 0)
        return wrong(line, "too many servers: %d is the limit", S5_POLICY_SERVERS);
    struct s5_server *server = &now->p->servers[at];
    server->port = (uint16_t)number(section, "port", 1080);
    server->timeout = (uint16_t)number(section, "timeout", 30);
    server->fragment = (uint16_t)number(section, "fragment", 0);
    server->pipeline = (uint8_t)word(section, "pipeline", S5_PIPELINE_AUTO);
    server->gssapi_protection = (uint8_t)word(section, "gssapi-protection", 2);
    server->gssapi_nec = word(section, "gssapi-nec", 0);
    server->gssapi_delegate = word(section, "gssapi-delegate", 0);
    if (service)
        server->gssapi_service = (uint32_t)text;
    int r = server_host(server, section, line);
    if (r == 0)
        r = server_methods(server, section);
    if (r == 0)
        r = isolation(section, &server->isolate);
    return r < 0 ? r : server_credentials(server, section, line);
}

static int rule_lists(struct s5_rule *rule, cfg_t *section)
{
    for (unsigned i = 0; i < now->lib.cfg_size(section, "to"); i++, rule->to_count++) {
        const char *to = now->lib.cfg_getnstr(section, "to", i);
        if (s5_policy_add_match(now->p, to, strlen(to)) < 0)
            return wrong(*line_of("to"), "to: too many destinations in all: %d is the limit", S5_POLICY_MATCHES);
    }
    for (unsigned i = 0; i < now->lib.cfg_size(section, "ports"); i++, rule->ports_count++)
        if (s5_policy_add_ports(now->p, now->lib.cfg_getnstr(section, "ports", i)) < 0)
            return wrong(*line_of("ports"), "ports: too many ranges in all: %d is the limit", S5_POLICY_PORTS);
    return 0;
}

static int take_rule(cfg_t *section, int line)
{
    const char *title = now->lib.cfg_title(section);
    unsigned n = now->lib.cfg_size(section, "via");
    if (!*title)
        return wrong(line, "a rule needs a title");
    if (n == 0)
        return wrong(line, "rule \"%s\" has no via", title);
    if (n > 1)
        return wrong(*line_of("via"), "via: one entry only; fail-over is not supported");
    struct s5_policy *p = now->p;
    int64_t name = s5_policy_add_text(p, title, strlen(title));
    if (p->n_rules == S5_POLICY_RULES || name < 0)
        return wrong(line, "too many rules: %d is the limit", S5_POLICY_RULES);
    now->via_lines[p->n_rules] = *line_of("via");
    struct s5_rule *rule = &p->rules[p->n_rules++];
    *rule = (struct s5_rule){.name = (uint32_t)name,
                             .line = (uint32_t)line,
                             .to_first = (uint16_t)p->n_matches,
                             .ports_first = (uint16_t)p->n_ports,
                             .protocols = bits(section, "protocol"),
                             .commands = bits(section, "command"),
                             .verdict = S5_DENY};
    int r = isolation(section, &rule->isolate);
    return r < 0 ? r : rule_lists(rule, section);
}

static int take_log(cfg_t *section, int line)
{
    char path[S5_FILE_PATH];
    const char *level = get(section, "level"), *file = get(section, "file"), *why;
    const char *format = get(section, "format"), *target = get(section, "target");
    if (level)
        now->p->log_level = (uint8_t)s5_log_level_parse(level);
    now->p->log_json = format && s5_config_word("format", format);
    if (file && target)
        return wrong(*line_of("target"), "log has a file and a target");
    if (file && s5_file_beside(path, file, now->path, now->env->home, &why) < 0)
        return wrong(*line_of("file"), "file: \"%s\": %s", file, why);
    if (!file && (!target || s5_config_word("target", target) == 0))
        return 0;
    int64_t text = s5_policy_add_text(now->p, file ? path : target, strlen(file ? path : target));
    if (text < 0)
        return wrong(line, "too much text in all");
    now->p->log_file = (uint32_t)text;
    return 0;
}

/* The last section of OPT has ended. */
static int on_section(cfg_t *cfg, cfg_opt_t *opt)
{
    (void)cfg;
    cfg_t *section = opt->values[opt->nvalues - 1]->section;
    unsigned n = now->n_ended++;
    int line = n < now->text.n_sections ? now->text.section_lines[n] : section->line, r = 0;
    for (cfg_opt_t *o = section->opts; o->name; o++)
        if ((o->flags & CFGF_LIST) && (o->flags & CFGF_MODIFIED) && o->nvalues == 0)
            r = wrong(line, "%s is an empty list", o->name);
    if (r == 0 && strcmp(opt->name, "log") == 0)
        r = opt->nvalues > 1 ? wrong(line, "log is given twice") : take_log(section, line);
    else if (r == 0)
        r = *opt->name == 's' ? take_server(section, line) : take_rule(section, line);
    /* The last ones are of no section. */
    memset(now->lines, 0, sizeof now->lines - S5_CONFIG_TOP_KEYS * sizeof *now->lines);
    explicit_bzero(now->password, sizeof now->password);
    now->password_line = 0;
    return r < 0 ? -1 : 0;
}

/* --- what only the end of the file can tell --- */

static int find_server(const char *title)
{
    for (uint32_t i = 0; i < now->p->n_servers; i++)
        if (strcmp(s5_policy_text(now->p, now->p->servers[i].name), title) == 0)
            return (int)i;
    return -1;
}

static int take_rest(cfg_t *cfg)
{
    const char *resolve = get(cfg, "resolve");
    now->p->resolve_local = resolve && strcmp(resolve, "local") == 0;
    for (unsigned i = 0; i < now->p->n_rules; i++) {
        struct s5_rule *rule = &now->p->rules[i];
        const char *via = now->lib.cfg_getnstr(now->lib.cfg_getnsec(cfg, "rule", i), "via", 0);
        int server = find_server(via);
        bool direct = strcmp(via, "direct") == 0, deny = strcmp(via, "deny") == 0;
        if (!direct && !deny && server < 0)
            return wrong(now->via_lines[i], "via: there is no server \"%s\"", via);
        rule->verdict = direct ? S5_DIRECT : deny ? S5_DENY : S5_VIA;
        rule->server = rule->verdict == S5_VIA ? (uint8_t)server : 0;
    }
    return 0;
}

/* --- the file --- */

#define STRING(key)                                                                                                    \
    {                                                                                                                  \
        .name = key, .type = CFGT_STR, .flags = CFGF_NODEFAULT, .validcb = on_value                                    \
    }
#define LIST(key)                                                                                                      \
    {                                                                                                                  \
        .name = key, .type = CFGT_STR, .flags = CFGF_NODEFAULT | CFGF_LIST, .validcb = on_value                        \
    }
#define SECTION(key, options, more)                                                                                    \
    {                                                                                                                  \
        .name = key, .type = CFGT_SEC, .flags = CFGF_MULTI | (more), .subopts = options, .validcb = on_section         \
    }

static cfg_opt_t server_options[] = {
    STRING("address"),
    STRING("port"),
    LIST("methods"),
    STRING("username"),
    {.name = "password", .type = CFGT_STR, .flags = CFGF_NODEFAULT, .parsecb = on_password},
    STRING("password-file"),
    STRING("gssapi-service"),
    STRING("gssapi-protection"),
    STRING("gssapi-nec"),
    STRING("gssapi-delegate"),
    STRING("pipeline"),
    STRING("timeout"),
    STRING("fragment"),
    LIST("isolate"),
    CFG_END(),
};
static cfg_opt_t rule_options[] = {
    LIST("to"), LIST("ports"), LIST("protocol"), LIST("command"), LIST("via"), LIST("isolate"), CFG_END(),
};
static cfg_opt_t log_options[] = {STRING("level"), STRING("file"), STRING("format"), STRING("target"), CFG_END()};
static cfg_opt_t options[] = {
    SECTION("server", server_options, CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    SECTION("rule", rule_options, CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    SECTION("log", log_options, 0),
    STRING("stand-in-ipv4"),
    STRING("stand-in-ipv6"),
    STRING("search"),
    STRING("resolve"),
    CFG_END(),
};

static int load_library(struct library *lib)
{
    errno = 0;
    lib->handle = dlopen("libconfuse.so.2", RTLD_NOW | RTLD_LOCAL);
    bool shortage = errno == ENOMEM || errno == EMFILE || errno == ENFILE; /* it may pass */
    if (!lib->handle)
        return s5_fault_set(now->fault, shortage ? -errno : -ELIBACC, NEEDED ": %s", now->path, dlerror());
#define X(name)                                                                                                        \
    *(void **)&lib->name = dlsym(lib->handle, #name);                                                                  \
    if (!lib->name)                                                                                                    \
        return s5_fault_set(now->fault, -ELIBBAD, "libconfuse.so.2 has no " #name);
    FUNCTIONS(X)
#undef X
    return 0;
}

static int parse(struct s5_file *file)
{
    memcpy(file->text + file->len, TAIL, sizeof TAIL - 1);
    memset(file->text + file->len + sizeof TAIL - 1, ' ', BLANKS);
    void *reserve = s5_config_memory_begin(file->len, now->text.n_sections);
    FILE *stream = reserve ? fmemopen(file->text, file->len + sizeof TAIL - 1 + BLANKS, "r") : NULL;
    errno = 0;
    cfg_t *cfg = stream ? now->lib.cfg_init(options, CFGF_NONE) : NULL;
    int r = cfg ? 0 : s5_fault_set(now->fault, -ENOMEM, "%s: out of memory", now->path);
    if (cfg) {
        setvbuf(stream, NULL, _IONBF, 0);
        now->lib.cfg_set_error_function(cfg, on_error);
        if (now->lib.cfg_parse_fp(cfg, stream) != CFG_SUCCESS || now->failed)
            r = wrong(now->last_line + !now->last_line, "cannot be understood from here on");
        else
            r = take_rest(cfg);
        /* What libconfuse could not keep it may have left out without a word. */
        if (errno == ENOMEM)
            r = s5_fault_set(now->fault, -ENOMEM, "%s: out of memory", now->path);
        now->lib.cfg_free(cfg);
    }
    if (stream)
        fclose(stream);
    s5_config_memory_end(reserve);
    return r;
}

static int read_file(struct s5_file *file)
{
    const char *why;
    int r = s5_file_read(file, now->path, FILE_MAX, sizeof TAIL + BLANKS, &why);
    if (r < 0)
        return s5_fault_set(now->fault, r, "%s: %s", now->path, why);
    now->exposed = file->mode & 077;
    why = s5_config_text_prepare(&now->text, file->text, file->len);
    return why ? wrong(now->text.lines, "%s", why) : 0;
}

int s5_config_load(struct s5_policy *p, const char *path, const struct s5_environment *env, struct s5_fault *ret_fault)
{
    struct reading reading = {.p = p, .path = path, .env = env, .fault = ret_fault};
    struct reading *before = now;
    struct s5_file file = {.text = NULL};
    now = &reading;
    int r = read_file(&file);
    if (r == 0)
        r = load_library(&reading.lib);
    if (r == 0)
        r = parse(&file);
    if (reading.lib.handle)
        dlclose(reading.lib.handle);
    if (r < 0)
        s5_config_text_flatten(ret_fault->text);
    s5_file_free(&file);
    explicit_bzero(reading.password, sizeof reading.password);
    now = before;
    return r;
}

/* Reads a configuration file with libconfuse. No other file uses libconfuse. The library is loaded when a file is read
 * and unloaded afterwards, because the preload object may depend on libc alone.
 *
 * Theory of operation:
 * - The file is read into memory, prepared by config_text.c, and passed to libconfuse as a stream.
 * - libconfuse's callbacks have no user argument, so the state of the parse is behind a thread-local pointer. Its lexer
 *   has global state, so a process reads one file at a time.
 * - A value is checked when libconfuse sets it, while the line is known. A section becomes a server or a rule where it
 *   ends. "via" is resolved after the end of the file, because servers may follow rules. Only the first fault is kept.
 *
 * The code runs in processes of other programs: it prints nothing and leaves nothing behind. A password is copied
 * before libconfuse can store it. The stream ends with text that makes the lexer overwrite its buffers: a comment, for
 * which it clears its text buffer, and more blanks than its input buffer holds at once. */
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
#define NEEDED   "%s: libconfuse.so.2 is required (package libconfuse2)"
#define TAIL     "\n#\n"
#define BLANKS   16000 /* flex reads 8 KiB at a time into a buffer of 16 KiB */

/* The functions of libconfuse that are used. */
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
    bool failed;                      /* a fault was found; FAULT holds the first one */
    bool exposed;                     /* users other than the owner can read the file */
    struct s5_config_text text;       /* its lines and sections */
    unsigned n_ended;                 /* number of sections that have ended */
    int last_line;                    /* line of the value seen last */
    int lines[S5_CONFIG_KEYS];        /* line of each key in the current section, or 0 */
    int via_lines[S5_POLICY_RULES];   /* line of the via of each rule */
    int hop_lines[S5_POLICY_SERVERS]; /* line of the servers of each chain; 0: it is a server */
    int password_line;                /* line of the password in the current section, or 0 */
    int secret_line;                  /* line of the password seen last, or 0 */
    char password[256];               /* password of the current section, NUL-terminated */
};

static __thread struct reading *now __attribute__((tls_model("initial-exec")));

/* --- faults --- */

/* Stores the first fault, at LINE. Returns -EINVAL. */
__attribute__((format(printf, 2, 3))) static int set_fault(int line, const char *format, ...)
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

/* Handles a fault that libconfuse reports. A fault on the line of a password may quote a part of the password, so its
 * text is replaced. */
static void on_error(cfg_t *cfg, const char *format, va_list args)
{
    char what[S5_FAULT_MAX];
    int line = cfg ? cfg->line : now->last_line;
    s5_vformat(what, sizeof what, format, args);
    s5_config_text_hide_password(what);
    if (line > now->text.lines)
        set_fault(now->text.lines, "unexpected end of file");
    else if (line > 0 && line == now->secret_line)
        set_fault(line, "syntax error after the password; quote a password that has blanks or special characters");
    else
        set_fault(line, "%s", what);
}

/* --- keys --- */

/* Returns where the line of KEY in the current section is stored; 0: the section does not have it. */
static int *get_key_line(const char *key)
{
    return &now->lines[s5_config_key(key)];
}

static int check_value(int line, const char *key, const char *value)
{
    char why[S5_CONFIG_WHY];
    return s5_config_check(now->p, key, value, why) < 0 ? set_fault(line, "%s", why) : 0;
}

/* Stores the line of OPT. A key that is not a list may be given once in a section. */
static int note_key_line(cfg_t *cfg, cfg_opt_t *opt)
{
    int *line = get_key_line(opt->name);
    now->last_line = cfg->line;
    if (*line && !(opt->flags & CFGF_LIST))
        return set_fault(cfg->line, "%s is given twice", opt->name);
    *line = cfg->line;
    return 0;
}

/* Called when a value was set, which is the last one. For a list it is called for each value, and once more at the
 * end. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
    const char *value = opt->nvalues ? opt->values[opt->nvalues - 1]->string : NULL;
    int r = note_key_line(cfg, opt);
    return r < 0 || !value ? r : check_value(cfg->line, opt->name, value);
}

/* Called before a password is set. The password is stored here, and libconfuse gets the empty text. */
static int on_password(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
    int r = note_key_line(cfg, opt);
    now->password_line = now->secret_line = cfg->line;
    if (r == 0 && now->exposed)
        r = set_fault(cfg->line, "others can read this file, which has a password: chmod 600 %s", now->path);
    if (r == 0)
        r = check_value(cfg->line, opt->name, value);
    if (r < 0)
        return -1;
    memcpy(now->password, value, strlen(value) + 1);
    *(const char **)result = "";
    return 0;
}

/* --- sections: LINE is the line on which the section opens --- */

static const char *get_text(cfg_t *section, const char *key)
{
    return now->lib.cfg_getstr(section, key);
}

/* Returns the number in KEY, or OTHERWISE where KEY is not set. */
static int get_number(cfg_t *section, const char *key, int otherwise)
{
    const char *text = get_text(section, key);
    return text ? s5_config_number(text, 1, 65535) : otherwise;
}

static int get_word_index(cfg_t *section, const char *key, int otherwise)
{
    const char *text = get_text(section, key);
    return text ? s5_config_word(key, text) : otherwise;
}

static uint8_t get_word_bits(cfg_t *section, const char *key)
{
    uint8_t set = 0;
    for (unsigned i = 0; i < now->lib.cfg_size(section, key); i++)
        set |= (uint8_t)(1u << s5_config_word(key, now->lib.cfg_getnstr(section, key, i)));
    return set;
}

/* Stores S5_ISOLATE_* bits in *RET; 0 where "isolate" is not set. */
static int get_isolation(cfg_t *section, uint8_t *ret)
{
    *ret = get_word_bits(section, "isolate");
    if (*ret & S5_ISOLATE_NONE && *ret != S5_ISOLATE_NONE)
        return set_fault(*get_key_line("isolate"), "isolate: \"none\" excludes other values");
    return 0;
}

static int set_server_host(struct s5_server *server, cfg_t *section, int line)
{
    char why[S5_CONFIG_WHY];
    const char *address = get_text(section, "address");
    if (!address)
        return set_fault(line, "server \"%s\" has no address", now->lib.cfg_title(section));
    if (s5_config_host(now->p, server, address, now->env->home, why) < 0)
        return set_fault(*get_key_line("address"), "%s", why);
    return 0;
}

static int set_server_methods(struct s5_server *server, cfg_t *section)
{
    for (unsigned i = 0; i < now->lib.cfg_size(section, "methods"); i++) {
        const char *name = now->lib.cfg_getnstr(section, "methods", i);
        uint8_t method = (uint8_t)s5_config_word("methods", name);
        if (memchr(server->methods, method, server->n_methods))
            return set_fault(*get_key_line("methods"), "methods: \"%s\" is listed twice", name);
        server->methods[server->n_methods++] = method;
    }
    return 0;
}

/* Reads the password file NAME into now->password. */
static int read_password(const char *name)
{
    char path[S5_FILE_PATH], text[S5_CONFIG_WHY];
    int line = *get_key_line("password-file");
    const char *why;
    if (now->password_line)
        return set_fault(line, "both password and password-file");
    if (s5_file_beside(path, name, now->path, now->env->home, &why) < 0)
        return set_fault(line, "password-file: %s: %s", name, why);
    if (s5_credentials_read(now->password, path, text) < 0)
        return set_fault(line, "password-file: %s", text);
    return 0;
}

static int set_server_credentials(struct s5_server *server, cfg_t *section, int line)
{
    const char *username = get_text(section, "username"), *name = get_text(section, "password-file");
    if (name && read_password(name) < 0)
        return -EINVAL;
    bool given = now->password_line || name;
    if (given && !username)
        username = now->env->user;
    if (given && !username)
        return set_fault(line, "password without a username, and SOCKS5_USER is not set");
    char where[S5_FAULT_MAX / 2];
    line = get_text(section, "username") ? *get_key_line("username")
           : *get_key_line("methods")    ? *get_key_line("methods")
                                         : line;
    s5_format(where, sizeof where, "%s:%d", now->path, line);
    int r = s5_credentials_set(server, username, given ? now->password : NULL, now->env, where, now->fault);
    now->failed = now->failed || r < 0;
    return r;
}

static int find_server(const char *title)
{
    for (uint32_t i = 0; i < now->p->n_servers; i++)
        if (strcmp(s5_policy_text(now->p, now->p->servers[i].name), title) == 0)
            return (int)i;
    return -1;
}

/* Adds an entry with the title of SECTION. Returns its index, or -EINVAL. */
static int add_entry(cfg_t *section, int line)
{
    const char *title = now->lib.cfg_title(section);
    if (!*title || strcmp(title, "direct") == 0 || strcmp(title, "deny") == 0)
        return set_fault(line, "\"%s\" is not allowed as the name of a server", title);
    if (find_server(title) >= 0)
        return set_fault(line, "\"%s\" is a server and a chain", title);
    int at = s5_policy_add_server(now->p, title);
    return at < 0 ? set_fault(line, "too many servers: %d is the limit", S5_POLICY_SERVERS) : at;
}

static int add_server(cfg_t *section, int line)
{
    const char *service = get_text(section, "gssapi-service");
    int at = add_entry(section, line);
    int64_t text = service ? s5_policy_add_text(now->p, service, strlen(service)) : 0;
    if (at < 0 || text < 0)
        return at < 0 ? at : set_fault(line, "too much text in total");
    struct s5_server *server = &now->p->servers[at];
    server->port = (uint16_t)get_number(section, "port", 1080);
    server->timeout = (uint16_t)get_number(section, "timeout", 30);
    server->fragment = (uint16_t)get_number(section, "fragment", 0);
    server->pipeline = (uint8_t)get_word_index(section, "pipeline", S5_PIPELINE_AUTO);
    server->gssapi_protection = (uint8_t)get_word_index(section, "gssapi-protection", 2);
    server->gssapi_nec = get_word_index(section, "gssapi-nec", 0);
    server->gssapi_delegate = get_word_index(section, "gssapi-delegate", 0);
    server->relay_at_server = get_word_index(section, "udp-relay", 0);
    if (service)
        server->gssapi_service = (uint32_t)text;
    int r = set_server_host(server, section, line);
    if (r == 0)
        r = set_server_methods(server, section);
    if (r == 0)
        r = get_isolation(section, &server->isolate);
    return r < 0 ? r : set_server_credentials(server, section, line);
}

/* The servers of the chain are added at the end of the file. */
static int add_chain(cfg_t *section, int line)
{
    unsigned n = now->lib.cfg_size(section, "servers");
    int at = add_entry(section, line), mode = get_word_index(section, "mode", S5_CHAIN_STRICT);
    if (at < 0)
        return at;
    if (n == 0)
        return set_fault(line, "chain \"%s\" has no servers", now->lib.cfg_title(section));
    bool some = mode == S5_CHAIN_RANDOM || mode == S5_CHAIN_ROUND_ROBIN;
    unsigned length = (unsigned)get_number(section, "length", n < S5_CHAIN_HOPS ? (int)n : S5_CHAIN_HOPS);
    if (!some && *get_key_line("length"))
        return set_fault(*get_key_line("length"), "length is for the modes \"random\" and \"round-robin\"");
    if (length > n)
        return set_fault(*get_key_line("length"), "length: the chain has %u servers", n);
    if (mode == S5_CHAIN_STRICT && n > S5_CHAIN_HOPS)
        return set_fault(*get_key_line("servers"), "servers: %d is the limit of a connection", S5_CHAIN_HOPS);
    struct s5_server *chain = &now->p->servers[at];
    chain->timeout = (uint16_t)get_number(section, "timeout", 0);
    chain->chain_mode = (uint8_t)mode;
    chain->chain_length = (uint8_t)length;
    now->hop_lines[at] = *get_key_line("servers");
    return 0;
}

static int add_rule_lists(struct s5_rule *rule, cfg_t *section)
{
    for (unsigned i = 0; i < now->lib.cfg_size(section, "to"); i++, rule->to_count++) {
        const char *to = now->lib.cfg_getnstr(section, "to", i);
        if (s5_policy_add_match(now->p, to, strlen(to)) < 0)
            return set_fault(*get_key_line("to"), "to: too many destinations in total: %d is the limit",
                             S5_POLICY_MATCHES);
    }
    for (unsigned i = 0; i < now->lib.cfg_size(section, "ports"); i++, rule->ports_count++)
        if (s5_policy_add_ports(now->p, now->lib.cfg_getnstr(section, "ports", i)) < 0)
            return set_fault(*get_key_line("ports"), "ports: too many ranges in total: %d is the limit",
                             S5_POLICY_PORTS);
    return 0;
}

static int add_rule(cfg_t *section, int line)
{
    const char *title = now->lib.cfg_title(section);
    unsigned n = now->lib.cfg_size(section, "via");
    if (!*title)
        return set_fault(line, "a rule needs a title");
    if (n == 0)
        return set_fault(line, "rule \"%s\" has no via", title);
    struct s5_policy *p = now->p;
    int64_t name = s5_policy_add_text(p, title, strlen(title));
    if (p->n_rules == S5_POLICY_RULES || name < 0)
        return set_fault(line, "too many rules: %d is the limit", S5_POLICY_RULES);
    now->via_lines[p->n_rules] = *get_key_line("via");
    struct s5_rule *rule = &p->rules[p->n_rules++];
    *rule = (struct s5_rule){.name = (uint32_t)name,
                             .line = (uint32_t)line,
                             .to_first = (uint16_t)p->n_matches,
                             .ports_first = (uint16_t)p->n_ports,
                             .protocols = get_word_bits(section, "protocol"),
                             .commands = get_word_bits(section, "command"),
                             .pick = (uint8_t)get_word_index(section, "pick", S5_PICK_ORDER),
                             .next_on = get_word_bits(section, "next-on"),
                             .timeout = (uint16_t)get_number(section, "timeout", 0),
                             .verdict = S5_DENY};
    const char *many = get_text(section, "pick") ? "pick"
                       : rule->next_on           ? "next-on"
                       : rule->timeout           ? "timeout"
                                                 : NULL;
    if (n == 1 && many)
        return set_fault(*get_key_line(many), "%s is for a rule with several servers in via", many);
    int r = get_isolation(section, &rule->isolate);
    return r < 0 ? r : add_rule_lists(rule, section);
}

static int set_log(cfg_t *section, int line)
{
    char path[S5_FILE_PATH];
    const char *level = get_text(section, "level"), *file = get_text(section, "file"), *why;
    const char *format = get_text(section, "format"), *target = get_text(section, "target");
    if (level)
        now->p->log_level = (uint8_t)s5_log_level_parse(level);
    now->p->log_json = format && s5_config_word("format", format);
    if (file && target)
        return set_fault(*get_key_line("target"), "log has a file and a target");
    if (file && s5_file_beside(path, file, now->path, now->env->home, &why) < 0)
        return set_fault(*get_key_line("file"), "file: \"%s\": %s", file, why);
    if (!file && (!target || s5_config_word("target", target) == 0))
        return 0;
    int64_t text = s5_policy_add_text(now->p, file ? path : target, strlen(file ? path : target));
    if (text < 0)
        return set_fault(line, "too much text in total");
    now->p->log_file = (uint32_t)text;
    return 0;
}

/* Called when a section has ended; it is the last one of OPT. */
static int on_section(cfg_t *cfg, cfg_opt_t *opt)
{
    (void)cfg;
    cfg_t *section = opt->values[opt->nvalues - 1]->section;
    unsigned n = now->n_ended++;
    int line = n < now->text.n_sections ? now->text.section_lines[n] : section->line, r = 0;
    for (cfg_opt_t *o = section->opts; o->name; o++)
        if ((o->flags & CFGF_LIST) && (o->flags & CFGF_MODIFIED) && o->nvalues == 0)
            r = set_fault(line, "%s is an empty list", o->name);
    if (r == 0 && strcmp(opt->name, "log") == 0)
        r = opt->nvalues > 1 ? set_fault(line, "log is given twice") : set_log(section, line);
    else if (r == 0)
        r = *opt->name == 's'   ? add_server(section, line)
            : *opt->name == 'c' ? add_chain(section, line)
                                : add_rule(section, line);
    /* The last S5_CONFIG_TOP_KEYS keys are outside sections. */
    memset(now->lines, 0, sizeof now->lines - S5_CONFIG_TOP_KEYS * sizeof *now->lines);
    explicit_bzero(now->password, sizeof now->password);
    now->password_line = 0;
    return r < 0 ? -1 : 0;
}

/* --- after the end of the file --- */

/* Adds the programs of the list KEY, which ENGINE runs. */
static int add_programs(cfg_t *cfg, const char *key, enum s5_engine_choice engine)
{
    for (unsigned i = 0; i < now->lib.cfg_size(cfg, key); i++) {
        const char *name = now->lib.cfg_getnstr(cfg, key, i);
        int64_t text = s5_policy_add_text(now->p, name, strlen(name));
        if (text < 0)
            return set_fault(*get_key_line(key), "%s: too much text in total", key);
        if (now->p->n_programs == S5_POLICY_PROGRAMS)
            return set_fault(*get_key_line(key), "%s: too many programs: %d is the limit", key, S5_POLICY_PROGRAMS);
        now->p->programs[now->p->n_programs++] = (struct s5_program_rule){(uint32_t)text, (uint8_t)engine};
    }
    return 0;
}

static int set_engines(cfg_t *cfg)
{
    now->p->engine = (uint8_t)get_word_index(cfg, "engine", S5_ENGINE_AUTO);
    now->p->no_loopback_in = !get_word_index(cfg, "namespace-loopback-in", 1);
    now->p->no_loopback_out = !get_word_index(cfg, "namespace-loopback-out", 1);
    now->p->hide_dbus = get_word_index(cfg, "namespace-hide-dbus", 0);
    int r = add_programs(cfg, "preload-programs", S5_ENGINE_PRELOAD);
    return r < 0 ? r : add_programs(cfg, "namespace-programs", S5_ENGINE_NAMESPACE);
}

/* Adds the N entries of "via" in SECTION to rule AT, the last one that has any. */
static int add_vias(cfg_t *section, unsigned at, unsigned n)
{
    struct s5_policy *p = now->p;
    struct s5_rule *rule = &p->rules[at];
    for (unsigned i = 0; i < n; i++) {
        const char *via = now->lib.cfg_getnstr(section, "via", i);
        int server = find_server(via);
        bool direct = strcmp(via, "direct") == 0, deny = strcmp(via, "deny") == 0;
        if ((direct || deny) && n > 1)
            return set_fault(now->via_lines[at], "via: \"%s\" excludes other entries", via);
        if (direct || deny) {
            rule->verdict = direct ? S5_DIRECT : S5_DENY;
            return 0;
        }
        if (server < 0)
            return set_fault(now->via_lines[at], "via: there is no server or chain \"%s\"", via);
        if (memchr(p->vias + rule->via_first, server, rule->via_count))
            return set_fault(now->via_lines[at], "via: \"%s\" is listed twice", via);
        if (s5_policy_add_via(p, at, (unsigned)server) < 0)
            return set_fault(now->via_lines[at], "via: too many servers in total: %d is the limit", S5_POLICY_VIAS);
    }
    return 0;
}

/* Adds the servers of the chain AT. */
static int add_hops(cfg_t *section, unsigned at)
{
    struct s5_policy *p = now->p;
    for (unsigned i = 0; i < now->lib.cfg_size(section, "servers"); i++) {
        const char *name = now->lib.cfg_getnstr(section, "servers", i);
        int server = find_server(name);
        if (server < 0)
            return set_fault(now->hop_lines[at], "servers: there is no server \"%s\"", name);
        if (now->hop_lines[server])
            return set_fault(now->hop_lines[at], "servers: \"%s\" is a chain", name);
        if (s5_policy_add_hop(p, at, (unsigned)server) < 0)
            return set_fault(now->hop_lines[at], "servers: too many servers in total: %d is the limit", S5_POLICY_VIAS);
    }
    return 0;
}

static int add_all_hops(cfg_t *cfg)
{
    int r = 0;
    unsigned chain = 0;
    for (unsigned at = 0; r == 0 && at < now->p->n_servers; at++)
        if (now->hop_lines[at])
            r = add_hops(now->lib.cfg_getnsec(cfg, "chain", chain++), at);
    return r;
}

/* Sets what depends on the whole file: "resolve", the engines, the servers of each chain, and the verdict and servers
 * of each rule. */
static int finish_policy(cfg_t *cfg)
{
    const char *resolve = get_text(cfg, "resolve");
    now->p->resolve_local = resolve && strcmp(resolve, "local") == 0;
    now->p->reload_auto = get_word_index(cfg, "reload", 0);
    if (set_engines(cfg) < 0 || add_all_hops(cfg) < 0)
        return -EINVAL;
    for (unsigned i = 0; i < now->p->n_rules; i++) {
        cfg_t *section = now->lib.cfg_getnsec(cfg, "rule", i);
        if (add_vias(section, i, now->lib.cfg_size(section, "via")) < 0)
            return -EINVAL;
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
    STRING("udp-relay"),
    LIST("isolate"),
    CFG_END(),
};
static cfg_opt_t chain_options[] = {LIST("servers"), STRING("mode"), STRING("length"), STRING("timeout"), CFG_END()};
static cfg_opt_t rule_options[] = {
    LIST("to"),     LIST("ports"),   LIST("protocol"),  LIST("command"), LIST("via"),
    STRING("pick"), LIST("next-on"), STRING("timeout"), LIST("isolate"), CFG_END(),
};
static cfg_opt_t log_options[] = {STRING("level"), STRING("file"), STRING("format"), STRING("target"), CFG_END()};
static cfg_opt_t options[] = {
    SECTION("server", server_options, CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    SECTION("chain", chain_options, CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    SECTION("rule", rule_options, CFGF_TITLE | CFGF_NO_TITLE_DUPES),
    SECTION("log", log_options, 0),
    STRING("fake-ipv4"),
    STRING("fake-ipv6"),
    STRING("search"),
    STRING("resolve"),
    STRING("reload"),
    STRING("engine"),
    LIST("preload-programs"),
    LIST("namespace-programs"),
    STRING("namespace-loopback-in"),
    STRING("namespace-loopback-out"),
    STRING("namespace-hide-dbus"),
    CFG_END(),
};

static int load_library(struct library *lib)
{
    errno = 0;
    lib->handle = dlopen("libconfuse.so.2", RTLD_NOW | RTLD_LOCAL);
    bool shortage = errno == ENOMEM || errno == EMFILE || errno == ENFILE; /* may be temporary */
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

static int parse_file(struct s5_file *file)
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
            r = set_fault(now->last_line + !now->last_line, "syntax error");
        else
            r = finish_policy(cfg);
        /* libconfuse may drop what it cannot allocate without reporting an error. */
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
    return why ? set_fault(now->text.lines, "%s", why) : 0;
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
        r = parse_file(&file);
    if (reading.lib.handle)
        dlclose(reading.lib.handle);
    if (r < 0)
        s5_format_clean(ret_fault->text, strlen(ret_fault->text));
    s5_file_free(&file);
    explicit_bzero(reading.password, sizeof reading.password);
    now = before;
    return r;
}

/* Configuration files: what they come to, and every mistake by its line. */
#include "source.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct s5_policy policy;
static struct s5_fault fault;
static char directory[] = "/tmp/test_config.XXXXXX";
static char path[64];
static struct s5_environment env;

static void begin(void)
{
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/socks5.conf", directory);
    env = (struct s5_environment){.home = directory};
}

static void end(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_expect_eq(system(command), 0);
}

TestSuite(config, .init = begin, .fini = end);

static void write_file(const char *name, const void *data, size_t len, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

static int load_mode(const char *text, mode_t mode)
{
    write_file(path, text, strlen(text), mode);
    memset(&policy, 0xa5, sizeof policy);
    strcpy(fault.text, "untouched");
    s5_policy_init(&policy);
    return s5_config_load(&policy, path, &env, &fault);
}

static int load(const char *text)
{
    return load_mode(text, 0600);
}

static const char *text_of(uint32_t at)
{
    return s5_policy_text(&policy, at);
}

/* TEXT is refused with "FILE:LINE: WHAT". */
static void expect_fault(const char *text, int line, const char *what)
{
    char expected[2 * S5_FAULT_MAX];
    snprintf(expected, sizeof expected, "%s:%d: %s", path, line, what);
    cr_expect_eq(load(text), -EINVAL, "%s", text);
    cr_expect_str_eq(fault.text, expected, "%s\nis: %s\nnot: %s", text, fault.text, expected);
}

Test(config, every_key_of_a_server)
{
    cr_assert_eq(load("server 'corp' {\n"
                      "  address = proxy.example.org\n"
                      "  port = 1081\n"
                      "  methods = {gssapi, \"userpass\", 'none'}\n"
                      "  username = \"al ice\"\n"
                      "  password = 'p\"w${x}'\n"
                      "  gssapi-service = socks\n"
                      "  gssapi-protection = integrity\n"
                      "  pipeline = off\n"
                      "  timeout = 3600\n"
                      "  fragment = 1400\n"
                      "}\n"),
                 0, "%s", fault.text);
    const struct s5_server *s = policy.servers;
    cr_assert_eq(policy.n_servers, 1);
    cr_expect_str_eq(text_of(s->name), "corp");
    cr_expect_str_eq(text_of(s->host), "proxy.example.org");
    cr_expect_not(s->is_path);
    cr_expect_eq(s->n_addrs, 0);
    cr_expect_eq(s->port, 1081);
    cr_expect_eq(s->n_methods, 3);
    cr_expect_arr_eq(s->methods, ((uint8_t[]){1, 2, 0}), 3);
    cr_expect_eq(s->username_len, 6);
    cr_expect_arr_eq(s->username, "al ice", 6);
    cr_expect_eq(s->password_len, 7);
    cr_expect_arr_eq(s->password, "p\"w${x}", 7);
    cr_expect_str_eq(text_of(s->gssapi_service), "socks");
    cr_expect_eq(s->gssapi_protection, 1);
    cr_expect_eq(s->pipeline, S5_PIPELINE_OFF);
    cr_expect_eq(s->timeout, 3600);
    cr_expect_eq(s->fragment, 1400);
}

Test(config, defaults)
{
    cr_assert_eq(load("server a { address = ::1 }\nserver b { address = \"[2001:db8::2]\" }"
                      "server c { address = '/run/socks' } server d { address = 192.0.2.1 }"
                      "server e { address = ~/sock }"),
                 0, "%s", fault.text);
    const struct s5_server *s = policy.servers;
    cr_expect_eq(s->port, 1080);
    cr_expect_eq(s->n_methods, 1);
    cr_expect_eq(s->methods[0], 0);
    cr_expect_eq(s->username_len + s->password_len, 0);
    cr_expect_eq(s->pipeline, S5_PIPELINE_AUTO);
    cr_expect_eq(s->timeout, 30);
    cr_expect_eq(s->fragment, 0);
    cr_expect_str_eq(text_of(s->gssapi_service), "rcmd");
    cr_expect_eq(s->gssapi_protection, 2);
    cr_expect_eq(s->n_addrs, 1);
    cr_expect_eq(s->addrs[0].kind, S5_ADDR_IPV6);
    cr_expect_eq(s->addrs[0].octets[15], 1);
    cr_expect_str_eq(text_of(s[1].host), "2001:db8::2");
    cr_expect_eq(s[1].addrs[0].octets[15], 2);
    cr_expect(s[2].is_path);
    cr_expect_str_eq(text_of(s[2].host), "/run/socks");
    cr_expect_arr_eq(s[3].addrs[0].octets, ((uint8_t[]){192, 0, 2, 1}), 4);
    char sock[64];
    snprintf(sock, sizeof sock, "%s/sock", directory);
    cr_expect_str_eq(text_of(s[4].host), sock);
    cr_expect_eq(policy.log_level, S5_LOG_ERROR);
    cr_expect_eq(policy.log_file, 0);
    cr_expect_not(policy.resolve_local);
    cr_expect_eq(policy.n_rules, 0);
}

Test(config, every_key_of_a_rule)
{
    cr_assert_eq(
        load("rule first {\n"
             "  to = {10.0.0.0/8, '.corp.example', # of a comment\n"
             "        \".x.example\", host, '[::1]', \"*\"}\n"
             "  to += {192.0.2.1}\n"
             "  ports = {443, 1-1023}\n"
             "  protocol = {tcp, udp}\n"
             "  command = {connect, bind, udp}\n"
             "  via = {later}\n"
             "}\n"
             "rule second { via = direct } rule third { via = {\"deny\"} protocol = udp }\n"
             "server later { address = x }\n"
             "resolve = local\n"
             "log { level = debug file = '/tmp/l' }\n"),
        0, "%s", fault.text);
    const struct s5_rule *r = policy.rules;
    cr_assert_eq(policy.n_rules, 3);
    cr_expect_str_eq(text_of(r->name), "first");
    cr_expect_eq(r->line, 1);
    cr_expect_eq(r->to_count, 7);
    const struct s5_match *m = policy.matches + r->to_first;
    static const uint8_t kinds[] = {S5_MATCH_BLOCK, S5_MATCH_SUFFIX, S5_MATCH_SUFFIX, S5_MATCH_NAME,
                                    S5_MATCH_BLOCK, S5_MATCH_ANY,    S5_MATCH_BLOCK};
    for (int i = 0; i < 7; i++)
        cr_expect_eq(m[i].kind, kinds[i], "%d", i);
    cr_expect_str_eq(text_of(m[1].name), "corp.example");

    cr_expect_eq(r->ports_count, 2);
    cr_expect_eq(policy.ports[1].low, 1);
    cr_expect_eq(policy.ports[1].high, 1023);
    cr_expect_eq(r->protocols, S5_PROTO_TCP | S5_PROTO_UDP);
    cr_expect_eq(r->commands, S5_CMD_CONNECT | S5_CMD_BIND | S5_CMD_UDP);
    cr_expect_eq(r->verdict, S5_VIA);
    cr_expect_eq(r->server, 0);
    cr_expect_eq(r[1].verdict, S5_DIRECT);
    cr_expect_eq(r[1].line, 10);
    cr_expect_eq(r[1].to_count + r[1].ports_count + r[1].protocols + r[1].commands, 0);
    cr_expect_eq(r[2].verdict, S5_DENY);
    cr_expect_eq(r[2].protocols, S5_PROTO_UDP);
    cr_expect(policy.resolve_local);
    cr_expect_eq(policy.log_level, S5_LOG_DEBUG);
    cr_expect_str_eq(text_of(policy.log_file), "/tmp/l");
}

Test(config, mistakes_and_their_lines)
{
    static const struct {
        int line;
        const char *text, *what;
    } cases[] = {
        {2, "# comment\nsevrer a {}", "no such option 'sevrer'"},
        {3, "server a {\n address = x\n prot = 1\n}", "no such option 'prot'"},
        {1, "include('/etc/passwd')", "no such option 'include'"},
        {4, "/* one\n two */\n// three\nbad = 1", "no such option 'bad'"},
        {1, "server a { address x }", "missing equal sign after option 'address'"},
        {1, "server { address = x }", "missing title for section 'server'"},
        {2, "server a { address = x }\nserver a { address = y }", "found duplicate title 'a'"},
        {2, "rule a { via = deny }\nrule a { via = deny }", "found duplicate title 'a'"},
        {2, "\nserver a {\n address = x", "\"{\" without \"}\""},
        {2, "server a { address = x }\nrule a {\n to = {b }", "\"{\" without \"}\""},
        {1, "resolve =", "the file ends too early"},
        {2, "resolve = local\nserver a", "the file ends too early"},
        {1, "}", "unexpected closing brace"},
        {2, "resolve = \"remote\"\nlog { level = \"error", "text without its closing quote"},
        {2, "resolve = 'remote'\nlog { level = 'error\n\n\n", "text without its closing quote"},
        {1, "/* never\nending", "comment without end"},
        {1, "rule a { to = {*} via = deny }", "\"*\" needs its quotes"},
        {1, "resolve + local", "\"+\" needs its quotes"},
        {2, "\nserver a { username = \"${x\" }",
         "\"${\" without \"}\"; between single quotes it stands for itself"},
        {1, "resolve = ${x\n}", "\"${\" without \"}\"; between single quotes it stands for itself"},
        {1, "server \"a\\0b\" {}", "a NUL in a text"},
        {1, "server \"a\\x00b\" {}", "a NUL in a text"},

        {2, "\nserver a {\n\n}", "server \"a\" has no address"},
        {1, "server '' { address = x }", "a server cannot be called \"\""},
        {1, "server direct { address = x }", "a server cannot be called \"direct\""},
        {1, "server deny { address = x }", "a server cannot be called \"deny\""},
        {3, "server a {\n port = 1\n address = ''\n}", "address is empty"},
        {2, "server a {\n address = 'x:1080'\n}",
         "address: \"x:1080\" is not a name, an IPv4 or IPv6 address, or a path"},
        {1, "server a { address = '[::1' }",
         "address: \"[::1\" is not a name, an IPv4 or IPv6 address, or a path"},
        {3, "server a {\n address = x\n address = y\n}", "address is given twice"},
        {2, "server a { address = x\n port = 0 }", "port: \"0\" is not a number from 1 to 65535"},
        {1, "server a { port = 65536 }", "port: \"65536\" is not a number from 1 to 65535"},
        {1, "server a { port = 0x10 }", "port: \"0x10\" is not a number from 1 to 65535"},
        {1, "server a { port = -1 }", "port: \"-1\" is not a number from 1 to 65535"},
        {1, "server a { timeout = 0 }", "timeout: \"0\" is not a number from 1 to 3600"},
        {1, "server a { fragment = 511 }", "fragment: \"511\" is not a number from 512 to 65507"},
        {1, "server a { timeout = 3601 }", "timeout: \"3601\" is not a number from 1 to 3600"},
        {3, "server a { address = x\n methods = {none,\n kerberos} }",
         "methods: \"kerberos\" is unknown; it takes none, gssapi, userpass"},
        {2, "server a { address = x\n methods = {none, none} }",
         "methods: \"none\" is named twice"},
        {2, "\nserver a { address = x methods = {} }", "methods is an empty list"},
        {1, "server a { pipeline = maybe }",
         "pipeline: \"maybe\" is unknown; it takes auto, on, off"},
        {1, "server a { gssapi-protection = none }",
         "gssapi-protection: \"none\" is unknown; it takes clear, integrity, confidentiality"},
        {1, "server a { gssapi-service = '' }", "gssapi-service is not 1 to 255 octets"},
        {2, "server a { address = x\n username = u }", "username without a password"},
        {2, "server a { address = x\n methods = {userpass} }",
         "method \"userpass\" without a username"},
        {1, "server a { address = x password = secret }",
         "password without a username, and SOCKS5_USER is not set"},
        {1, "server a { address = x username = u password = '' }",
         "password is not 1 to 255 octets"},
        {1, "server a { address = x username = '' password = p }",
         "username is not 1 to 255 octets"},
        {1, "server a { address = x methods = {none} username = u password = secret }",
         "username given, but \"userpass\" is not among the methods"},
        {2, "server a { address = x password = secret\n password-file = f username = u }",
         "both password and password-file"},
        {1, "server a { address = x password = sec password = ret }", "password is given twice"},
        {1, "server a { address = x username = u password = secret word }",
         "the password is not followed by a key; if it has blanks or signs, quote it"},

        {2, "\nrule a {\n to = {host}\n}", "rule \"a\" has no via"},
        {1, "rule '' { via = deny }", "a rule needs a title"},
        {2, "rule a {\n via = {x, y}\n}", "via: one entry only; fail-over is not supported"},
        {1, "rule a { via = {} }", "via is an empty list"},
        {3, "rule a {\n ports = {1}\n via = nobody\n}\nresolve = local",
         "via: there is no server \"nobody\""},
        {1, "rule a { to = {} via = deny }", "to is an empty list"},
        {3, "rule a { to = {host,\n .suffix,\n 10.0.0.1/8} }",
         "to: \"10.0.0.1/8\": bits are set behind the prefix; the network is 10.0.0.0/8"},
        {1, "rule a { to = {'2001:db8::1/32'} }",
         "to: \"2001:db8::1/32\": bits are set behind the prefix; the network is 2001:db8::/32"},
        {1, "rule a { to = {10.0.0.0/33} }", "to: \"10.0.0.0/33\" is not a block: ADDRESS/PREFIX"},
        {1, "rule a { to = {'::/129'} }", "to: \"::/129\" is not a block: ADDRESS/PREFIX"},
        {1, "rule a { to = {10.0.0/8} }", "to: \"10.0.0/8\" is not a block: ADDRESS/PREFIX"},
        {1, "rule a { to = {10.0.0.256} }",
         "to: \"10.0.0.256\" is not an address, block, name or .suffix"},
        {1, "rule a { to = {host:80} }",
         "to: \"host:80\" is not an address, block, name or .suffix"},
        {1, "rule a { to = {'a*b'} }", "to: \"a*b\" is not an address, block, name or .suffix"},
        {1, "rule a { to = {''} }", "to: \"\" is not an address, block, name or .suffix"},
        {2, "rule a {\n ports = {80, 0} }",
         "ports: \"0\" is not a port or a range of ports from 1 to 65535"},
        {1, "rule a { ports = {2-1} }",
         "ports: \"2-1\" is not a port or a range of ports from 1 to 65535"},
        {1, "rule a { ports = {1-65536} }",
         "ports: \"1-65536\" is not a port or a range of ports from 1 to 65535"},
        {2, "rule a {\n protocol = {sctp} }", "protocol: \"sctp\" is unknown; it takes tcp, udp"},
        {2, "rule a {\n command = {listen} }",
         "command: \"listen\" is unknown; it takes connect, bind, udp"},

        {2, "\nresolve = maybe", "resolve: \"maybe\" is unknown; it takes remote, local"},
        {3, "resolve = local\nrule a { via = deny }\nresolve = local", "resolve is given twice"},
        {1, "stand-in-ipv4 = 10.0.0.0/24",
         "stand-in-ipv4: \"10.0.0.0/24\" is not an IPv4 block of /8 to /16"},
        {1, "stand-in-ipv6 = 10.0.0.0/8",
         "stand-in-ipv6: \"10.0.0.0/8\" is not an IPv6 block of /16 to /108"},
        {2, "stand-in-ipv4 = 10.0.0.0/8\nstand-in-ipv4 = 10.0.0.0/8", "stand-in-ipv4 is given twice"},
        {2, "log {\n level = loud }",
         "level: \"loud\" is unknown; it takes none, error, warning, info, debug"},
        {1, "log { file = '' }", "file is empty"},
        {1, "log { file = '/x' target = syslog }", "log has a file and a target"},
        {1, "log { format = xml }", "format: \"xml\" is unknown; it takes text, json"},
        {2, "log { level = info }\nlog { file = '/x' }", "log is given twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_fault(cases[i].text, cases[i].line, cases[i].what);
        cr_expect_null(strstr(fault.text, "secret"), "%s", fault.text);
        cr_expect_null(strchr(fault.text, '\n'));
    }
}

Test(config, a_fault_is_one_line_and_remembers_nothing)
{
    expect_fault("server \"a\nb\" {}", 2, "server \"a?b\" has no address");
    cr_expect_eq(load("server a { address = x }"), 0, "%s", fault.text);
    expect_fault("server a { address = \"x", 1, "text without its closing quote");
    cr_expect_eq(load("server a { address = x }"), 0, "%s", fault.text);
    cr_expect_str_eq(fault.text, "untouched");
}

Test(config, comments_strings_and_variables)
{
    setenv("TEST_HOST", "from.environment", 1);
    cr_assert_eq(load("/**/server /*a*/a#b\n{//c{\n address=\"${TEST_HOST}\" # \"\n}\n"
                      "server b { address = ${TEST_HOST} }\n"
                      "server 'c#/*' { address = \"${TEST_NOTHING:-otherwise}\" }\r\n"
                      "rule 'r' {\n to = { a, /* x */ b # y\n, c } via = 'c#/*' }\n"),
                 0, "%s", fault.text);
    cr_expect_eq(policy.n_servers, 3);
    cr_expect_str_eq(text_of(policy.servers[0].host), "from.environment");
    cr_expect_str_eq(text_of(policy.servers[1].host), "from.environment");
    cr_expect_str_eq(text_of(policy.servers[2].name), "c#/*");
    cr_expect_str_eq(text_of(policy.servers[2].host), "otherwise");
    cr_expect_eq(policy.rules[0].line, 7);
    cr_expect_eq(policy.rules[0].to_count, 3);
    expect_fault("server a { address = \"${TEST_NOTHING}\" }", 1, "address is empty");
}

Test(config, limits)
{
    static char text[400000];
    size_t n = 0;
    for (int i = 0; i < S5_POLICY_SERVERS; i++)
        n += (size_t)sprintf(text + n, "server s%d { address = x }\n", i);
    cr_expect_eq(load(text), 0, "%s", fault.text);
    sprintf(text + n, "server more { address = x }\n");
    expect_fault(text, S5_POLICY_SERVERS + 1, "too many servers: 32 is the limit");

    n = 0;
    for (int i = 0; i < S5_POLICY_RULES; i++)
        n += (size_t)sprintf(text + n, "rule r%d { via = deny }\n", i);
    cr_expect_eq(load(text), 0, "%s", fault.text);
    cr_expect_eq(policy.rules[255].line, 256);
    sprintf(text + n, "rule more { via = deny }\n");
    expect_fault(text, S5_POLICY_RULES + 1, "too many rules: 256 is the limit");

    n = (size_t)sprintf(text, "rule r { via = deny to = {h");
    for (int i = 1; i < S5_POLICY_MATCHES; i++)
        n += (size_t)sprintf(text + n, ",10.0.0.0/8");
    sprintf(text + n, "} }");
    cr_expect_eq(load(text), 0, "%s", fault.text);
    cr_expect_eq(policy.rules[0].to_count, S5_POLICY_MATCHES);
    sprintf(text + n, ",\nh} }");
    expect_fault(text, 2, "to: too many destinations in all: 2048 is the limit");

    n = (size_t)sprintf(text, "rule r { via = deny ports = {1");
    for (int i = 1; i < S5_POLICY_PORTS; i++)
        n += (size_t)sprintf(text + n, ",2");
    sprintf(text + n, "} }");
    cr_expect_eq(load(text), 0, "%s", fault.text);
    sprintf(text + n, ",\n3} }");
    expect_fault(text, 2, "ports: too many ranges in all: 1024 is the limit");

    n = 0;
    for (int i = 0; i < 513; i++)
        n += (size_t)sprintf(text + n, "log {}\n");
    expect_fault(text, 513, "too many sections");
}

Test(config, files_that_are_not)
{
    char expected[128];
    struct s5_fault f;
    s5_policy_init(&policy);
    cr_expect_eq(s5_config_load(&policy, path, &env, &f), -ENOENT);
    snprintf(expected, sizeof expected, "%s: no such file or directory", path);
    cr_expect_str_eq(f.text, expected);
    cr_expect_eq(s5_config_load(&policy, directory, &env, &f), -EINVAL);
    snprintf(expected, sizeof expected, "%s: not a regular file", directory);
    cr_expect_str_eq(f.text, expected);
    cr_assert_eq(mkfifo(path, 0600), 0); /* and it does not block */
    cr_expect_eq(s5_config_load(&policy, path, &env, &f), -EINVAL);
    unlink(path);

    write_file(path, "resolve = \0local", 16, 0600);
    cr_expect_eq(s5_config_load(&policy, path, &env, &f), -EINVAL);
    snprintf(expected, sizeof expected, "%s: it holds a NUL octet", path);
    cr_expect_str_eq(f.text, expected);
    cr_assert_eq(truncate(path, (1 << 20) + 1), 0);
    cr_expect_eq(s5_config_load(&policy, path, &env, &f), -EFBIG);
    snprintf(expected, sizeof expected, "%s: file too large", path);
    cr_expect_str_eq(f.text, expected);

    cr_expect_eq(load(""), 0, "%s", fault.text);
    cr_expect_eq(load("#"), 0, "%s", fault.text);
    cr_expect_eq(policy.n_servers + policy.n_rules, 0);
}

Test(config, passwords_only_where_nobody_else_reads_them)
{
    static const char text[] = "server a {\n address = x username = u\n password = secret\n}\n";
    char expected[2 * S5_FAULT_MAX];
    static const mode_t open_to_others[] = {0640, 0604, 0660, 0610, 0601, 0644};
    for (size_t i = 0; i < sizeof open_to_others / sizeof *open_to_others; i++) {
        cr_expect_eq(load_mode(text, open_to_others[i]), -EINVAL);
        snprintf(expected, sizeof expected,
                 "%s:3: password in a file that others can read: chmod 600 %s", path, path);
        cr_expect_str_eq(fault.text, expected);
    }
    cr_expect_eq(load_mode(text, 0600), 0, "%s", fault.text);
    cr_expect_eq(load_mode("server a { address = x }", 0644), 0, "%s", fault.text);
}

static int load_with_password_file(const char *name, const void *data, size_t len, mode_t mode)
{
    char file[128], text[256];
    snprintf(file, sizeof file, "%s/%s", directory, "pw");
    write_file(file, data, len, mode);
    snprintf(text, sizeof text,
             "server a {\n address = x username = u\n password-file = \"%s\"\n}\n", name);
    return load_mode(text, 0644);
}

static void expect_password_fault(const char *what)
{
    char expected[2 * S5_FAULT_MAX];
    /* A file that was looked for is named by its whole path. */
    snprintf(expected, sizeof expected, "%s:3: password-file: %s%s", path,
             strchr("/:", what[0]) ? directory : "", what);
    cr_expect_str_eq(fault.text, expected);
}

Test(config, password_files)
{
    static const char *const names[] = {"pw", "./pw", "~/pw", NULL};
    char absolute[64], what[256], big[300];
    snprintf(absolute, sizeof absolute, "%s/pw", directory);
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(load_with_password_file(names[i] ? names[i] : absolute, "a b\n\n", 5, 0600), 0,
                     "%s", fault.text);
        cr_expect_eq(policy.servers[0].password_len, 4); /* one newline goes, not two */
        cr_expect_arr_eq(policy.servers[0].password, "a b\n", 4);
        cr_expect_eq(policy.servers[0].methods[0], 2);
    }
    memset(big, 'x', sizeof big);
    cr_expect_eq(load_with_password_file("pw", big, 255, 0600), 0, "%s", fault.text);
    cr_expect_eq(policy.servers[0].password_len, 255);
    big[255] = '\n';
    cr_expect_eq(load_with_password_file("pw", big, 256, 0600), 0, "%s", fault.text);
    big[255] = 'x';
    cr_expect_eq(load_with_password_file("pw", big, 256, 0600), -EINVAL);
    expect_password_fault("/pw: not 1 to 255 octets");
    cr_expect_eq(load_with_password_file("pw", "", 0, 0600), -EINVAL);
    expect_password_fault("/pw: not 1 to 255 octets");
    cr_expect_eq(load_with_password_file("pw", "\n", 1, 0600), -EINVAL);
    expect_password_fault("/pw: not 1 to 255 octets");
    cr_expect_eq(load_with_password_file("pw", "a\0b", 3, 0600), -EINVAL);
    expect_password_fault("/pw: it holds a NUL octet");
    cr_expect_eq(load_with_password_file("pw", "secret", 6, 0640), -EINVAL);
    snprintf(what, sizeof what, "others can read it: chmod 600 %s", absolute);
    expect_password_fault(what);
    cr_expect_eq(load_with_password_file("gone", "", 0, 0600), -EINVAL);
    expect_password_fault("/gone: no such file or directory");
    cr_expect_eq(load_with_password_file(directory, "", 0, 0600), -EINVAL);
    expect_password_fault(": not a regular file");
    env.home = NULL;
    cr_expect_eq(load_with_password_file("~/pw", "a", 1, 0600), -EINVAL);
    expect_password_fault("~/pw: \"~/\" without HOME");
}

Test(config, credentials_of_the_environment)
{
    static const struct {
        const char *text, *user, *password; /* in the file, in the environment */
        const char *sent_user, *sent_password;
        int method;
    } cases[] = {
        {"", "eu", "ep", "eu", "ep", 2},
        {"", "eu", NULL, "", "", 0},
        {"", NULL, "ep", "", "", 0},
        {"methods = {none}", "eu", "ep", "", "", 0},
        {"methods = {userpass}", "eu", "ep", "eu", "ep", 2},
        {"username = u", "eu", "ep", "u", "ep", 2},
        {"username = u password = p", "eu", "ep", "u", "p", 2},
        {"password = p", "eu", NULL, "eu", "p", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "server a { address = x %s }", cases[i].text);
        env.user = cases[i].user;
        env.password = cases[i].password;
        cr_expect_eq(load(text), 0, "%zu: %s", i, fault.text);
        const struct s5_server *s = policy.servers;
        cr_expect_eq(s->methods[0], cases[i].method, "%zu", i);
        cr_expect_eq(s->username_len, strlen(cases[i].sent_user), "%zu", i);
        cr_expect_arr_eq(s->username, cases[i].sent_user, s->username_len, "%zu", i);
        cr_expect_eq(s->password_len, strlen(cases[i].sent_password), "%zu", i);
        cr_expect_arr_eq(s->password, cases[i].sent_password, s->password_len, "%zu", i);
    }
}

Test(config, paths_are_beside_the_file)
{
    char expected[128];
    cr_assert_eq(load("log { file = 'x.log' }"), 0, "%s", fault.text);
    snprintf(expected, sizeof expected, "%s/x.log", directory);
    cr_expect_str_eq(text_of(policy.log_file), expected);
    cr_assert_eq(load("log { target = syslog format = json }"), 0, "%s", fault.text);
    cr_expect_str_eq(text_of(policy.log_file), "syslog");
    cr_expect(policy.log_json);
    cr_assert_eq(load("log { target = stderr format = text }"), 0, "%s", fault.text);
    cr_expect(policy.log_file == 0 && !policy.log_json);
    cr_assert_eq(load("log { file = '~/x.log' }"), 0, "%s", fault.text);
    cr_expect_str_eq(text_of(policy.log_file), expected);
    cr_assert_eq(chdir(directory), 0);
    strcpy(path, "socks5.conf"); /* the log's path outlives a chdir all the same */
    cr_assert_eq(load("log { file = 'x.log' }"), 0, "%s", fault.text);
    cr_expect_str_eq(text_of(policy.log_file), expected);
}

#if !defined __SANITIZE_ADDRESS__ /* which has a heap of its own, with quarantine */
/* Whether WORD, each octet of it inverted, is in the heap. */
static int heap_holds(const unsigned char *word, size_t len)
{
    char line[256];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    cr_assert(maps);
    setvbuf(maps, NULL, _IONBF, 0);
    while (fgets(line, sizeof line, maps)) {
        unsigned long low, high;
        if (!strstr(line, "[heap]") || sscanf(line, "%lx-%lx", &low, &high) != 2)
            continue;
        for (const unsigned char *at = (const unsigned char *)low;
             at + len <= (unsigned char *)high; at++) {
            size_t i = 0;
            while (i < len && (at[i] ^ word[i]) == 0xff)
                i++;
            found += i == len;
        }
    }
    fclose(maps);
    return found;
}

/* A file with the password between BEFORE and AFTER, written without another copy of it. */
static void write_secret(const char *before, const unsigned char *word, size_t len,
                         const char *after)
{
    char secret[32];
    cr_assert_leq(len, sizeof secret);
    for (size_t i = 0; i < len; i++)
        secret[i] = (char)(word[i] ^ 0xff);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, before, strlen(before)), (ssize_t)strlen(before));
    cr_assert_eq(write(fd, secret, len), (ssize_t)len);
    cr_assert_eq(write(fd, after, strlen(after)), (ssize_t)strlen(after));
    close(fd);
    explicit_bzero(secret, sizeof secret);
}

Test(config, nothing_of_a_password_stays_in_the_heap)
{
    static const char before[] = "server a { address = x username = u password = ";
    static const char *const quotes[] = {"", "'", "\""};
    unsigned char word[24];
    char text[80], after[8];
    for (size_t i = 0; i < sizeof word; i++)
        word[i] = (unsigned char)(("yqJwXkv"[i % 7] + (i > 6)) ^ 0xff);
    char *control = malloc(sizeof word);
    for (size_t i = 0; i < sizeof word; i++)
        control[i] = (char)(word[i] ^ 0xff);
    cr_expect_eq(heap_holds(word, sizeof word), 1); /* the search finds what is there */
    explicit_bzero(control, sizeof word);
    free(control);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "%s%s", before, quotes[i]);
        snprintf(after, sizeof after, "%s }\n", quotes[i]);
        write_secret(text, word, sizeof word, after);
        s5_policy_init(&policy);
        cr_assert_eq(s5_config_load(&policy, path, &env, &fault), 0, "%s", fault.text);
        cr_expect_eq(policy.servers[0].password_len, sizeof word);
        /* Its end: free() writes over the beginning of what it is given. */
        cr_expect_eq(heap_holds(word + 16, sizeof word - 16), 0, "%s", text);
    }
}
#endif

Test(config, a_password_is_its_servers_alone)
{
    cr_assert_eq(load("server a { address = x username = u password = p }\n"
                      "server b { address = y }\n"),
                 0, "%s", fault.text);
    cr_expect_eq(policy.servers[0].password_len, 1);
    cr_expect_eq(policy.servers[1].username_len + policy.servers[1].password_len, 0);
    cr_expect_eq(policy.servers[1].methods[0], 0);
    expect_fault("server a { address = x username = u password = p }\n"
                 "server b { address = y username = u }\n",
                 2, "username without a password");
}

Test(config, paths_of_sockets_fit)
{
    char text[256], socket[109];
    memset(socket, 's', sizeof socket);
    socket[0] = '/';
    socket[108] = '\0';
    snprintf(text, sizeof text, "server a {\n address = \"%s\" }", socket);
    expect_fault(text, 2, "address: the path of a UNIX socket has 107 octets at most");
    socket[107] = '\0';
    snprintf(text, sizeof text, "server a {\n address = \"%s\" }", socket);
    cr_assert_eq(load(text), 0, "%s", fault.text);
    cr_expect_str_eq(text_of(policy.servers[0].host), socket);
}

Test(config, no_descriptor_and_no_library_stays)
{
    char line[512];
    int before = dup(0), found = 0;
    close(before);
    cr_expect_eq(load("server a { address = x }"), 0, "%s", fault.text);
    expect_fault("bad", 1, "no such option 'bad'");
    expect_fault("\"", 1, "text without its closing quote");
    int after = dup(0);
    close(after);
    cr_expect_eq(before, after);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        found += strstr(line, "libconfuse") != NULL;
    fclose(maps);
    cr_expect_eq(found, 0);
}

Test(config, the_example_is_good)
{
    static const char example[] = SOURCE_ROOT "/socks5.conf.example";
    struct s5_route route;
    struct s5_addr to = {.kind = S5_ADDR_IPV4, .port = 80, .octets = {10, 1, 2, 3}};
    struct s5_flow flow = {&to, S5_PROTO_TCP, S5_CMD_CONNECT};
    s5_policy_init(&policy);
    int r = s5_config_load(&policy, example, &env, &fault);
    cr_assert_eq(r, 0, "%s", fault.text);
    cr_expect_geq(policy.n_servers, 1);
    route = s5_policy_decide(&policy, &flow);
    cr_expect_eq(route.verdict, S5_DIRECT);
    to.octets[0] = 192;
    to.octets[1] = 0;
    route = s5_policy_decide(&policy, &flow);
    cr_expect_eq(route.verdict, S5_VIA);
}

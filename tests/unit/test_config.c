/* Configuration files: their syntax, the resulting policy, and their effects on the process. */
#include "chains.h"
#include "policy_check.h"
#include "config_script.h"

TestSuite(config, .init = begin, .fini = end);

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
                      "  udp-relay = server\n"
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
    cr_expect(s->relay_at_server);
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
    cr_expect_not(s->relay_at_server);
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
    cr_expect_str_eq(policy.search, "");
    cr_expect_eq(policy.n_rules, 0);
}

Test(config, every_key_of_a_rule)
{
    cr_assert_eq(load("rule first {\n"
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
                      "resolve = local search = 'corp.example'\n"
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
    cr_expect(r->via_count == 1 && policy.vias[r->via_first] == 0);
    cr_expect_eq(r[1].verdict, S5_DIRECT);
    cr_expect_eq(r[1].line, 10);
    cr_expect_eq(r[1].to_count + r[1].ports_count + r[1].protocols + r[1].commands, 0);
    cr_expect_eq(r[2].verdict, S5_DENY);
    cr_expect_eq(r[2].protocols, S5_PROTO_UDP);
    cr_expect(policy.resolve_local);
    cr_expect_str_eq(policy.search, "corp.example");
    cr_expect_eq(policy.log_level, S5_LOG_DEBUG);
    cr_expect_str_eq(text_of(policy.log_file), "/tmp/l");
}

Test(config, a_rule_with_several_servers)
{
    cr_assert_eq(
        load("rule plain { to = x via = a }\n"
             "rule r { via = {c, a, b} pick = round-robin next-on = {not-allowed, general-failure} timeout = 20 }\n"
             "rule other { via = {b} }\n"
             "server a { address = x }\nserver b { address = y }\nserver c { address = z }\n"),
        0, "%s", fault.text);
    const struct s5_rule *r = &policy.rules[1];
    cr_assert_eq(r->via_count, 3);
    cr_assert_arr_eq(policy.vias + r->via_first, ((uint8_t[]){2, 0, 1}), 3);
    cr_assert(r->pick == S5_PICK_ROUND_ROBIN && r->timeout == 20);
    cr_assert_eq(r->next_on, S5_NEXT_ON_GENERAL_FAILURE | S5_NEXT_ON_NOT_ALLOWED);
    cr_assert(r[-1].via_count == 1 && policy.vias[r[-1].via_first] == 0 && r[-1].pick == S5_PICK_ORDER);
    cr_assert(r[1].via_count == 1 && policy.vias[r[1].via_first] == 1 && policy.n_vias == 5);
    struct s5_addr to;
    s5_addr_parse(&to, "host.example", 12, 80);
    struct s5_route route = s5_policy_decide(&policy, &(struct s5_flow){&to, S5_PROTO_TCP, S5_CMD_CONNECT});
    cr_assert(route.rule == 1 && route.server == 2);
}

Test(config, a_chain_of_servers)
{
    cr_assert_eq(load("chain deep { servers = {b, a} timeout = 9 }\n"
                      "chain some { servers = {a, b, a} mode = round-robin length = 2 }\n"
                      "server a { address = x }\nserver b { address = 192.0.2.1 port = 7 timeout = 50 }\n"
                      "rule r { via = {deep, a} }\n"),
                 0, "%s", fault.text);
    const struct s5_server *deep = &policy.servers[0], *some = &policy.servers[1];
    cr_assert(deep->n_hops == 2 && some->n_hops == 3 && policy.servers[2].n_hops == 0);
    cr_expect_arr_eq(policy.vias + deep->hops_first, ((uint8_t[]){3, 2}), 2);
    cr_expect_arr_eq(policy.vias + some->hops_first, ((uint8_t[]){2, 3, 2}), 3);
    cr_expect(deep->chain_mode == S5_CHAIN_STRICT && some->chain_mode == S5_CHAIN_ROUND_ROBIN);
    cr_expect_eq(some->chain_length, 2);
    cr_assert_eq(s5_chains_complete(&policy, &fault), 0);
    cr_expect(deep->timeout == 9 && some->timeout == 50, "the longest");
    cr_expect(deep->n_addrs == 1 && deep->port == 7 && deep->addrs[0].octets[3] == 1, "of its first server");
    cr_expect(some->n_addrs == 1 && some->port == 7, "of one that has an address");
    cr_expect(s5_policy_connects_to(&policy, 0) && s5_policy_connects_to(&policy, 2));
    cr_expect(s5_policy_connects_to(&policy, 3), "the first of the chain");
    cr_expect(!s5_policy_connects_to(&policy, 1), "no rule has it");
    policy.fake_ipv4.prefix = 15;
    policy.fake_ipv6.prefix = 96;
    policy.text[S5_POLICY_TEXT - 1] = 0;
    cr_expect(s5_policy_is_sound(&policy));
    policy.servers[0].hops_first = (uint16_t)policy.n_vias;
    cr_expect(!s5_policy_is_sound(&policy));
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
    expect_fault(text, 2, "to: too many destinations in total: 2048 is the limit");

    n = (size_t)sprintf(text, "rule r { via = deny ports = {1");
    for (int i = 1; i < S5_POLICY_PORTS; i++)
        n += (size_t)sprintf(text + n, ",2");
    sprintf(text + n, "} }");
    cr_expect_eq(load(text), 0, "%s", fault.text);
    sprintf(text + n, ",\n3} }");
    expect_fault(text, 2, "ports: too many ranges in total: 1024 is the limit");

    n = 0;
    for (int i = 0; i < 513; i++)
        n += (size_t)sprintf(text + n, "log {}\n");
    expect_fault(text, 513, "too many sections");
}

Test(config, files_that_cannot_be_read)
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
    cr_assert_eq(mkfifo(path, 0600), 0); /* it does not block */
    cr_expect_eq(s5_config_load(&policy, path, &env, &f), -EINVAL);
    unlink(path);

    write_file(path, "resolve = \0local", 16, 0600);
    cr_expect_eq(s5_config_load(&policy, path, &env, &f), -EINVAL);
    snprintf(expected, sizeof expected, "%s: it contains a NUL octet", path);
    cr_expect_str_eq(f.text, expected);
    cr_assert_eq(truncate(path, (1 << 20) + 1), 0);
    cr_expect_eq(s5_config_load(&policy, path, &env, &f), -EFBIG);
    snprintf(expected, sizeof expected, "%s: file too large", path);
    cr_expect_str_eq(f.text, expected);

    cr_expect_eq(load(""), 0, "%s", fault.text);
    cr_expect_eq(load("#"), 0, "%s", fault.text);
    cr_expect_eq(policy.n_servers + policy.n_rules, 0);
}

Test(config, paths_are_relative_to_the_file)
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
    strcpy(path, "socks5.conf"); /* the path of the log is absolute nevertheless */
    cr_assert_eq(load("log { file = 'x.log' }"), 0, "%s", fault.text);
    cr_expect_str_eq(text_of(policy.log_file), expected);
}

Test(config, paths_of_sockets_fit)
{
    char text[256], socket[109];
    memset(socket, 's', sizeof socket);
    socket[0] = '/';
    socket[108] = '\0';
    snprintf(text, sizeof text, "server a {\n address = \"%s\" }", socket);
    expect_fault(text, 2, "address: the path of a UNIX socket is limited to 107 octets");
    socket[107] = '\0';
    snprintf(text, sizeof text, "server a {\n address = \"%s\" }", socket);
    cr_assert_eq(load(text), 0, "%s", fault.text);
    cr_expect_str_eq(text_of(policy.servers[0].host), socket);
}

Test(config, no_descriptor_and_no_library_remains)
{
    char line[512];
    int before = dup(0), found = 0;
    close(before);
    cr_expect_eq(load("server a { address = x }"), 0, "%s", fault.text);
    expect_fault("bad", 1, "no such option 'bad'");
    expect_fault("\"", 1, "string without its closing quote");
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

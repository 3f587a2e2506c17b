/* Mistakes in configuration files. Each is reported with its line. */
#include "config_script.h"

TestSuite(config_mistakes, .init = begin, .fini = end);

Test(config_mistakes, mistakes_and_their_lines)
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
        {1, "resolve =", "unexpected end of file"},
        {2, "resolve = local\nserver a", "unexpected end of file"},
        {1, "}", "unexpected closing brace"},
        {2, "resolve = \"remote\"\nlog { level = \"error", "string without its closing quote"},
        {2, "resolve = 'remote'\nlog { level = 'error\n\n\n", "string without its closing quote"},
        {1, "/* never\nending", "comment without end"},
        {1, "rule a { to = {*} via = deny }", "\"*\" must be quoted"},
        {1, "resolve + local", "\"+\" must be quoted"},
        {2, "\nserver a { username = \"${x\" }", "\"${\" without \"}\"; single quotes make it literal"},
        {1, "resolve = ${x\n}", "\"${\" without \"}\"; single quotes make it literal"},
        {1, "server \"a\\0b\" {}", "NUL in a string"},
        {1, "server \"a\\x00b\" {}", "NUL in a string"},

        {2, "\nserver a {\n\n}", "server \"a\" has no address"},
        {1, "server '' { address = x }", "\"\" is not allowed as the name of a server"},
        {1, "server direct { address = x }", "\"direct\" is not allowed as the name of a server"},
        {1, "server deny { address = x }", "\"deny\" is not allowed as the name of a server"},
        {3, "server a {\n port = 1\n address = ''\n}", "address is empty"},
        {2, "server a {\n address = 'x:1080'\n}",
         "address: \"x:1080\" is not a name, an IPv4 or IPv6 address, or a path"},
        {1, "server a { address = '[::1' }", "address: \"[::1\" is not a name, an IPv4 or IPv6 address, or a path"},
        {3, "server a {\n address = x\n address = y\n}", "address is given twice"},
        {2, "server a { address = x\n port = 0 }", "port: \"0\" is not a number from 1 to 65535"},
        {1, "server a { port = 65536 }", "port: \"65536\" is not a number from 1 to 65535"},
        {1, "server a { port = 0x10 }", "port: \"0x10\" is not a number from 1 to 65535"},
        {1, "server a { port = -1 }", "port: \"-1\" is not a number from 1 to 65535"},
        {1, "server a { timeout = 0 }", "timeout: \"0\" is not a number from 1 to 3600"},
        {1, "server a { fragment = 511 }", "fragment: \"511\" is not a number from 512 to 65507"},
        {1, "server a { timeout = 3601 }", "timeout: \"3601\" is not a number from 1 to 3600"},
        {3, "server a { address = x\n methods = {none,\n kerberos} }",
         "methods: \"kerberos\" is unknown; expected none, gssapi, userpass"},
        {2, "server a { address = x\n methods = {none, none} }", "methods: \"none\" is listed twice"},
        {2, "\nserver a { address = x methods = {} }", "methods is an empty list"},
        {1, "server a { pipeline = maybe }", "pipeline: \"maybe\" is unknown; expected auto, on, off"},
        {1, "server a { gssapi-protection = none }",
         "gssapi-protection: \"none\" is unknown; expected clear, integrity, confidentiality"},
        {1, "server a { gssapi-service = '' }", "gssapi-service is not 1 to 255 octets"},
        {2, "server a { address = x\n username = u }", "username without a password"},
        {2, "server a { address = x\n methods = {userpass} }", "method \"userpass\" without a username"},
        {1, "server a { address = x password = secret }", "password without a username, and SOCKS5_USER is not set"},
        {1, "server a { address = x username = u password = '' }", "password is not 1 to 255 octets"},
        {1, "server a { address = x username = '' password = p }", "username is not 1 to 255 octets"},
        {1, "server a { address = x methods = {none} username = u password = secret }",
         "username given, but \"userpass\" is not among the methods"},
        {2, "server a { address = x password = secret\n password-file = f username = u }",
         "both password and password-file"},
        {1, "server a { address = x password = sec password = ret }", "password is given twice"},
        {1, "server a { address = x username = u password = secret word }",
         "syntax error after the password; quote a password that has blanks or special characters"},

        {2, "\nrule a {\n to = {host}\n}", "rule \"a\" has no via"},
        {1, "rule '' { via = deny }", "a rule needs a title"},
        {3, "server x { address = h }\nrule a {\n via = {x, x}\n}", "via: \"x\" is listed twice"},
        {3, "server x { address = h }\nrule a {\n via = {x, direct}\n}", "via: \"direct\" excludes other entries"},
        {3, "server x { address = h }\nrule a {\n via = {deny, x}\n}", "via: \"deny\" excludes other entries"},
        {2, "rule a { via = x\n pick = random }", "pick is for a rule with several servers in via"},
        {2, "rule a { via = direct\n next-on = not-allowed }", "next-on is for a rule with several servers in via"},
        {2, "rule a { via = x\n timeout = 5 }", "timeout is for a rule with several servers in via"},
        {1, "rule a { via = {x, y} pick = best }",
         "pick: \"best\" is unknown; expected order, random, round-robin, sticky"},
        {1, "rule a { via = {x, y} next-on = refused }",
         "next-on: \"refused\" is unknown; expected general-failure, not-allowed, network-unreachable"},
        {1, "rule a { via = {} }", "via is an empty list"},
        {3, "rule a {\n ports = {1}\n via = nobody\n}\nresolve = local", "via: there is no server or chain \"nobody\""},
        {1, "chain c { mode = strict }", "chain \"c\" has no servers"},
        {1, "chain direct { servers = a }", "\"direct\" is not allowed as the name of a server"},
        {2, "server a { address = x }\nchain a { servers = a }", "\"a\" is a server and a chain"},
        {3, "server a { address = x }\nchain c {\n servers = {a, b} }", "servers: there is no server \"b\""},
        {1, "chain c { servers = d }\nchain d { servers = c }", "servers: \"d\" is a chain"},
        {1, "chain c { servers = {a} mode = loose }",
         "mode: \"loose\" is unknown; expected strict, dynamic, random, round-robin"},
        {1, "chain c { servers = {a} length = 1 }", "length is for the modes \"random\" and \"round-robin\""},
        {2, "chain c { servers = {a} mode = random\n length = 2 }", "length: the chain has 1 servers"},
        {1, "chain c { servers = {a} length = 17 }", "length: \"17\" is not a number from 1 to 16"},
        {1, "rule a { to = {} via = deny }", "to is an empty list"},
        {3, "rule a { to = {host,\n .suffix,\n 10.0.0.1/8} }",
         "to: \"10.0.0.1/8\": host bits are set; the network is 10.0.0.0/8"},
        {1, "rule a { to = {'2001:db8::1/32'} }",
         "to: \"2001:db8::1/32\": host bits are set; the network is 2001:db8::/32"},
        {1, "rule a { to = {10.0.0.0/33} }", "to: \"10.0.0.0/33\" is not a block: ADDRESS/PREFIX"},
        {1, "rule a { to = {'::/129'} }", "to: \"::/129\" is not a block: ADDRESS/PREFIX"},
        {1, "rule a { to = {10.0.0/8} }", "to: \"10.0.0/8\" is not a block: ADDRESS/PREFIX"},
        {1, "rule a { to = {10.0.0.256} }", "to: \"10.0.0.256\" is not an address, block, name or .suffix"},
        {1, "rule a { to = {host:80} }", "to: \"host:80\" is not an address, block, name or .suffix"},
        {1, "rule a { to = {'a*b'} }", "to: \"a*b\" is not an address, block, name or .suffix"},
        {1, "rule a { to = {''} }", "to: \"\" is not an address, block, name or .suffix"},
        {2, "rule a {\n ports = {80, 0} }", "ports: \"0\" is not a port or a range of ports from 1 to 65535"},
        {1, "rule a { ports = {2-1} }", "ports: \"2-1\" is not a port or a range of ports from 1 to 65535"},
        {1, "rule a { ports = {1-65536} }", "ports: \"1-65536\" is not a port or a range of ports from 1 to 65535"},
        {2, "rule a {\n protocol = {sctp} }", "protocol: \"sctp\" is unknown; expected tcp, udp"},
        {2, "rule a {\n command = {listen} }", "command: \"listen\" is unknown; expected connect, bind, udp"},

        {2, "\nresolve = maybe", "resolve: \"maybe\" is unknown; expected remote, local"},
        {3, "resolve = local\nrule a { via = deny }\nresolve = local", "resolve is given twice"},
        {1, "fake-ipv4 = 10.0.0.0/24", "fake-ipv4: \"10.0.0.0/24\" is not an IPv4 block of /8 to /16"},
        {1, "fake-ipv6 = 10.0.0.0/8", "fake-ipv6: \"10.0.0.0/8\" is not an IPv6 block of /16 to /108"},
        {2, "fake-ipv4 = 10.0.0.0/8\nfake-ipv4 = 10.0.0.0/8", "fake-ipv4 is given twice"},
        {1, "search = '.corp.example'", "search: \".corp.example\" is not a name, without dots at its ends"},
        {2, "search = a\nsearch = b", "search is given twice"},
        {2, "log {\n level = loud }", "level: \"loud\" is unknown; expected none, error, warning, info, debug"},
        {1, "log { file = '' }", "file is empty"},
        {1, "log { file = '/x' target = syslog }", "log has a file and a target"},
        {1, "log { format = xml }", "format: \"xml\" is unknown; expected text, json"},
        {2, "log { level = info }\nlog { file = '/x' }", "log is given twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_fault(cases[i].text, cases[i].line, cases[i].what);
        cr_expect_null(strstr(fault.text, "secret"), "%s", fault.text);
        cr_expect_null(strchr(fault.text, '\n'));
    }
}

Test(config_mistakes, a_fault_is_one_line_and_remembers_nothing)
{
    expect_fault("server \"a\nb\" {}", 2, "server \"a?b\" has no address");
    cr_expect_eq(load("server a { address = x }"), 0, "%s", fault.text);
    expect_fault("server a { address = \"x", 1, "string without its closing quote");
    cr_expect_eq(load("server a { address = x }"), 0, "%s", fault.text);
    cr_expect_str_eq(fault.text, "untouched");
}

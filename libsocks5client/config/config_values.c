/* The table of keys. A key has either the list of words that it accepts or a function that checks the value. The text
 * of a fault is printed after "FILE:LINE: ". */
#include "config_values.h"
#include "file.h"
#include "log.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef int check_fn(struct s5_policy *p, const char *key, const char *value, char *why);

/* Formats the fault into WHY. Returns -EINVAL. */
__attribute__((format(printf, 2, 3))) static int format_fault(char *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    s5_vformat(why, S5_CONFIG_WHY, format, args);
    va_end(args);
    return -EINVAL;
}

int s5_config_number(const char *text, int low, int high)
{
    int number = 0;
    size_t len = strlen(text);
    if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
        return -EINVAL;
    for (; *text; text++)
        number = number * 10 + (*text - '0');
    return number < low || number > high ? -EINVAL : number;
}

static int check_number(const char *key, const char *value, int least, int most, char *why)
{
    if (s5_config_number(value, least, most) >= 0)
        return 0;
    return format_fault(why, "%s: \"%s\" is not a number from %d to %d", key, value, least, most);
}

static int check_port(struct s5_policy *p, const char *key, const char *value, char *why)
{
    (void)p;
    return check_number(key, value, 1, 65535, why);
}

static int check_timeout(struct s5_policy *p, const char *key, const char *value, char *why)
{
    (void)p;
    return check_number(key, value, 1, 3600, why);
}

static int check_length(struct s5_policy *p, const char *key, const char *value, char *why)
{
    (void)p;
    return check_number(key, value, 1, S5_CHAIN_HOPS, why);
}

/* The minimum leaves space for data after the longest possible header. */
static int check_fragment(struct s5_policy *p, const char *key, const char *value, char *why)
{
    (void)p;
    return check_number(key, value, 512, 65507, why);
}

/* Returns true if TO is a block that has bits set after its prefix. NETWORK is then the block with these bits
 * cleared. */
static bool is_careless_block(const char *to, char network[INET6_ADDRSTRLEN + 4])
{
    struct s5_addr addr;
    const char *slash = strchr(to, '/');
    size_t len = slash ? (size_t)(slash - to) : 0;
    if (!slash || s5_addr_parse(&addr, to, len, 0) < 0 || addr.kind == S5_ADDR_NAME)
        return false;
    int family = addr.kind == S5_ADDR_IPV4 ? AF_INET : AF_INET6, bits = family == AF_INET ? 32 : 128;
    int prefix = s5_config_number(slash + 1, 0, bits);
    if (prefix < 0 || (family == AF_INET && memchr(to, ':', len)))
        return false;
    for (int bit = prefix; bit < bits; bit++)
        addr.octets[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    inet_ntop(family, addr.octets, network, INET6_ADDRSTRLEN);
    s5_format(network + strlen(network), 5, "/%d", prefix);
    return true;
}

static int check_to(struct s5_policy *p, const char *key, const char *value, char *why)
{
    char network[INET6_ADDRSTRLEN + 4];
    uint32_t n = p->n_matches, text = p->n_text;
    int at = s5_policy_add_match(p, value, strlen(value));
    p->n_matches = n;
    p->n_text = text;
    if (at == -ENOSPC)
        return format_fault(why, "%s: too many destinations in total: %d is the limit", key, S5_POLICY_MATCHES);
    if (at < 0 && is_careless_block(value, network))
        return format_fault(why, "%s: \"%s\": host bits are set; the network is %s", key, value, network);
    if (at < 0 && strchr(value, '/'))
        return format_fault(why, "%s: \"%s\" is not a block: ADDRESS/PREFIX", key, value);
    if (at < 0)
        return format_fault(why, "%s: \"%s\" is not an address, block, name or .suffix", key, value);
    return 0;
}

static int check_ports(struct s5_policy *p, const char *key, const char *value, char *why)
{
    uint32_t n = p->n_ports;
    int at = s5_policy_add_ports(p, value);
    p->n_ports = n;
    if (at == -ENOSPC)
        return format_fault(why, "%s: too many ranges in total: %d is the limit", key, S5_POLICY_PORTS);
    if (at < 0)
        return format_fault(why, "%s: \"%s\" is not a port or a range of ports from 1 to 65535", key, value);
    return 0;
}

static int check_fake_range(struct s5_policy *p, const char *key, const char *value, char *why)
{
    bool v4 = key[strlen(key) - 1] == '4';
    if (s5_policy_set_fake_range(p, v4 ? S5_ADDR_IPV4 : S5_ADDR_IPV6, value) == 0)
        return 0;
    return format_fault(why, "%s: \"%s\" is not an %s block of %s", key, value, v4 ? "IPv4" : "IPv6",
                        v4 ? "/8 to /16" : "/16 to /108");
}

static int check_search(struct s5_policy *p, const char *key, const char *value, char *why)
{
    if (s5_policy_set_search(p, value) == 0)
        return 0;
    return format_fault(why, "%s: \"%s\" is not a name, without dots at its ends", key, value);
}

static int check_level(struct s5_policy *p, const char *key, const char *value, char *why)
{
    (void)p;
    if (s5_log_level_parse(value) >= 0)
        return 0;
    return format_fault(why, "%s: \"%s\" is unknown; expected none, error, warning, info, debug", key, value);
}

/* Checks credentials and the GSSAPI service name. The fault does not quote the value. */
static int check_text(struct s5_policy *p, const char *key, const char *value, char *why)
{
    (void)p;
    size_t len = strlen(value);
    return len >= 1 && len <= 255 ? 0 : format_fault(why, "%s is not 1 to 255 octets", key);
}

static int check_not_empty(struct s5_policy *p, const char *key, const char *value, char *why)
{
    (void)p;
    return *value ? 0 : format_fault(why, "%s is empty", key);
}

static int check_program(struct s5_policy *p, const char *key, const char *value, char *why)
{
    (void)p;
    return *value && !strchr(value, '/') ? 0 : format_fault(why, "%s: \"%s\" is not the name of a file", key, value);
}

#define WORDS 4

/* Texts, not pointers: the loader would relocate each pointer in every program. */
static const struct {
    char name[24];
    char words[WORDS][20]; /* the accepted words; "" after the last one, and where CHECK is set */
    check_fn *check;
} keys[S5_CONFIG_KEYS] = {
    {"address", {""}, check_not_empty},
    {"port", {""}, check_port},
    {"methods", {"none", "gssapi", "userpass"}, NULL},
    {"username", {""}, check_text},
    {"password", {""}, check_text},
    {"password-file", {""}, check_not_empty},
    {"gssapi-service", {""}, check_text},
    {"gssapi-protection", {"clear", "integrity", "confidentiality"}, NULL},
    {"gssapi-nec", {"false", "true"}, NULL},
    {"gssapi-delegate", {"false", "true"}, NULL},
    {"pipeline", {"auto", "on", "off"}, NULL},
    {"timeout", {""}, check_timeout},
    {"fragment", {""}, check_fragment},
    {"udp-relay", {"reply", "server"}, NULL},
    {"isolate", {"none", "process", "destination", "rule"}, NULL},
    {"to", {""}, check_to},
    {"ports", {""}, check_ports},
    {"protocol", {"tcp", "udp"}, NULL},
    {"command", {"connect", "bind", "udp"}, NULL},
    {"via", {""}, check_not_empty},
    {"servers", {""}, check_not_empty},
    {"mode", {"strict", "dynamic", "random", "round-robin"}, NULL},
    {"length", {""}, check_length},
    {"pick", {"order", "random", "round-robin", "sticky"}, NULL},
    {"next-on", {"general-failure", "not-allowed", "network-unreachable"}, NULL},
    {"level", {""}, check_level},
    {"file", {""}, check_not_empty},
    {"format", {"text", "json"}, NULL},
    {"target", {"stderr", "syslog"}, NULL},
    {"fake-ipv4", {""}, check_fake_range},
    {"fake-ipv6", {""}, check_fake_range},
    {"search", {""}, check_search},
    {"resolve", {"remote", "local"}, NULL},
    {"reload", {"off", "auto"}, NULL},
    {"engine", {"auto", "preload", "namespace"}, NULL},
    {"preload-programs", {""}, check_program},
    {"namespace-programs", {""}, check_program},
    {"namespace-loopback-in", {"false", "true"}, NULL},
    {"namespace-loopback-out", {"false", "true"}, NULL},
    {"namespace-hide-dbus", {"false", "true"}, NULL},
};

int s5_config_key(const char *key)
{
    int i = 0;
    while (i < S5_CONFIG_KEYS - 1 && strcmp(keys[i].name, key) != 0)
        i++;
    return i;
}

int s5_config_word(const char *key, const char *value)
{
    const char(*words)[sizeof keys->words[0]] = keys[s5_config_key(key)].words;
    for (int i = 0; i < WORDS && *words[i]; i++)
        if (strcmp(words[i], value) == 0)
            return i;
    return -EINVAL;
}

int s5_config_check(struct s5_policy *p, const char *key, const char *value, char why[S5_CONFIG_WHY])
{
    int at = s5_config_key(key);
    char list[80] = "";
    size_t n = 0;
    if (keys[at].check)
        return keys[at].check(p, key, value, why);
    if (s5_config_word(key, value) >= 0)
        return 0;
    for (int i = 0; i < WORDS && *keys[at].words[i]; i++)
        n += s5_format(list + n, sizeof list - n, i ? ", %s" : "%s", keys[at].words[i]);
    return format_fault(why, "%s: \"%s\" is unknown; expected %s", key, value, list);
}

/* Stores the address in SERVER where HOST is a literal, and removes its brackets from HOST and LEN. HOST is not a path.
 * Returns 0 or -EINVAL. */
static int set_literal_address(struct s5_server *server, const char **host, size_t *len)
{
    struct s5_addr addr;
    if (s5_addr_parse(&addr, *host, *len, 0) < 0)
        return -EINVAL;
    if (addr.kind == S5_ADDR_NAME)
        return 0;
    server->addrs[0].kind = addr.kind;
    memcpy(server->addrs[0].octets, addr.octets, sizeof addr.octets);
    server->n_addrs = 1;
    *len -= **host == '[' ? 2 : 0;
    *host += **host == '[';
    return 0;
}

int s5_config_host(struct s5_policy *p, struct s5_server *server, const char *address, const char *home,
                   char why[S5_CONFIG_WHY])
{
    char path[S5_FILE_PATH];
    const char *host = address, *reason;
    if (strncmp(address, "~/", 2) == 0) {
        if (s5_file_expand(path, address, home, &reason) < 0)
            return format_fault(why, "address: %s", reason);
        host = path;
    }
    size_t len = strlen(host);
    server->is_path = host[0] == '/';
    if (server->is_path && len >= sizeof((struct sockaddr_un *)0)->sun_path)
        return format_fault(why, "address: the path of a UNIX socket is limited to 107 octets");
    if (!server->is_path && set_literal_address(server, &host, &len) < 0)
        return format_fault(why, "address: \"%s\" is not a name, an IPv4 or IPv6 address, or a path", address);
    int64_t text = s5_policy_add_text(p, host, len);
    if (text < 0)
        return format_fault(why, "too much text in total");
    server->host = (uint32_t)text;
    return 0;
}

/* ways NAME TOKEN: runs one way. ways --list: prints the names of all ways. */
#include "call_kernel.h"
#include "way.h"
#include <net/if.h>

struct target target;
char *way_empty_environment[] = {(char *)"PATH=/usr/bin:/bin", NULL};

static const struct way *const groups[] = {
    connect_ways, datagram_ways, write_ways,   instruction_ways, ring_ways,    option_ways,
    packet_ways,  family_ways,   name_ways,    rpc_ways,         library_ways, program_ways,
    place_ways,   handler_ways,  process_ways, device_ways,      listen_ways,
};

static const char *way_name = "?";
static char token_text[16];

_Noreturn void way_end(const char *call, int error)
{
    const char *name = error ? strerrorname_np(error) : "ok",
               *parts[] = {call, ":", name ? name : "?", "\n"};
    char line[128];
    size_t n = 0;
    for (int i = 0; i < 4; i++)
        for (const char *at = parts[i]; *at && n < sizeof line; at++)
            line[n++] = *at;
    way_call(SYS_write, 1, (long)line, (long)n, 0, 0, 0);
    _exit(WAY_TRIED);
}

_Noreturn void way_done(const char *call, long result)
{
    way_end(call, result < 0 ? errno : 0);
}

_Noreturn void way_unavailable(const char *what)
{
    dprintf(1, "%s:unavailable:%s\n", what, strerrorname_np(errno));
    _exit(WAY_UNAVAILABLE);
}

long way_need(const char *what, long result)
{
    if (result < 0)
        way_unavailable(what);
    return result;
}

void *way_function(void *handle, const char *name, const char *version)
{
    void *function = version ? dlvsym(handle, name, version) : dlsym(handle, name);
    if (!function) {
        errno = ENOSYS;
        way_unavailable(name);
    }
    return function;
}

const char *way_program(const char *name)
{
    static char path[512];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);
    way_need("readlink", n);
    path[n] = '\0';
    strcpy(strrchr(path, '/') + 1, name);
    return path;
}

char **way_arguments(const char *name)
{
    static char *arguments[4];
    arguments[0] = (char *)"ways";
    arguments[1] = (char *)name;
    arguments[2] = token_text;
    return arguments;
}

const char *way_folder(void)
{
    static char path[128];
    const char *above = getenv("WAYS_FOLDER");
    snprintf(path, sizeof path, "%s/%u", above ? above : "/tmp", target.token);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        way_unavailable("mkdir");
    return path;
}

long way_call(long number, long a, long b, long c, long d, long e, long f)
{
    return call_kernel(number, a, b, c, d, e, f);
}

int way_socket(int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    if (fd < 0 && (errno == EACCES || errno == EPERM))
        way_end("socket", errno);
    return (int)way_need("socket", fd);
}

int way_raw_socket(int family, int type, int protocol)
{
    long fd = WAY_CALL(SYS_socket, family, type | SOCK_CLOEXEC, protocol, 0, 0, 0);
    if (fd < 0)
        way_end("socket", (int)-fd);
    return (int)fd;
}

int way_connected(int family)
{
    const void *to = family == AF_INET ? (void *)&target.v4 : (void *)&target.v6;
    size_t size = family == AF_INET ? sizeof target.v4 : sizeof target.v6;
    int fd = way_raw_socket(family, SOCK_DGRAM, 0);
    WAY_CALL(SYS_connect, fd, to, size, 0, 0, 0);
    return fd;
}

unsigned way_device(void)
{
    unsigned index = if_nametoindex(DEVICE);
    if (index == 0)
        way_unavailable("if_nametoindex");
    return index;
}

static void report_timeout(int number)
{
    (void)number;
    way_end("timeout", EINTR);
}

static void set_target(unsigned token)
{
    const struct in_addr mapped_prefix = {htonl(0x0a630000U | token)},
                         group = {htonl(0xef630000U | token)};
    const uint16_t port = htons(7);
    snprintf(token_text, sizeof token_text, "%u", token);
    target.token = token;
    target.v4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr = mapped_prefix};
    target.group4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr = group};
    target.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    target.mapped = target.group6 = target.v6;
    inet_pton(AF_INET6, "fd99:6363::", &target.v6.sin6_addr);
    inet_pton(AF_INET6, "ff05:6363::", &target.group6.sin6_addr);
    inet_pton(AF_INET6, "::ffff:0.0.0.0", &target.mapped.sin6_addr);
    const uint16_t low = htons((uint16_t)token);
    memcpy(&target.v6.sin6_addr.s6_addr[14], &low, 2);
    memcpy(&target.group6.sin6_addr.s6_addr[14], &low, 2);
    memcpy(&target.mapped.sin6_addr.s6_addr[12], &mapped_prefix, 4);
    inet_ntop(AF_INET, &target.v4.sin_addr, target.host4, sizeof target.host4);
    inet_ntop(AF_INET6, &target.v6.sin6_addr, target.host6, sizeof target.host6);
    snprintf(target.name, sizeof target.name, "way-%u-x.example.org", token);
    snprintf(target.text, sizeof target.text, "way-%u-", token);
    target.length = strlen(target.text) + 1;
}

/* Runs NAME. Functions that run before main() use it, too. */
static void run_way(const char *name, const char *token, bool early)
{
    set_target((unsigned)atoi(token));
    way_name = name;
    for (size_t group = 0; group < sizeof groups / sizeof *groups; group++)
        for (const struct way *way = groups[group]; way->name; way++)
            if (strcmp(way->name, name) == 0 && (strncmp(name, "early_", 6) == 0) == early)
                way->run();
    if (!early && strcmp(name, "nothing") == 0) /* what has happened before main() is the way */
        way_end(name, 0);
}

/* The loader calls this function before the constructors of all libraries. */
static void run_early(int argc, char **argv, char **environment)
{
    (void)environment;
    if (argc == 3)
        run_way(argv[1], argv[2], true);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const early_entry)(int, char **, char **) = run_early;

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t group = 0; group < sizeof groups / sizeof *groups; group++)
            for (const struct way *way = groups[group]; way->name; way++)
                puts(way->name);
        return 0;
    }
    if (argc < 3)
        return 64;
    struct sigaction timeout = {.sa_handler = report_timeout};
    sigaction(SIGALRM, &timeout, NULL);
    alarm(2);
    run_way(argv[1], argv[2], false);
    fprintf(stderr, "no way has the name %s\n", way_name);
    return 64;
}

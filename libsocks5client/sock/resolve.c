/* Names. Which lookups libc may do by itself: those it answers without a packet (literals,
 * localhost, the hosts file), and others only where the rules let its DNS servers be reached
 * directly. Where names shall be resolved on the far side, a server on loopback does not count as
 * reached directly unless a rule says so: it would ask the world in our stead. */
#include "engine.h"
#include "error.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_MAX 65536 /* octets of /etc/hosts and /etc/resolv.conf that are looked at */

/* --- small text files, line by line, without stdio --- */

/* EACH gets every word of a line in turn (AT 0, 1, ...); true ends the walk. */
typedef bool word_fn(void *user, unsigned at, const char *word, size_t len);

static bool walk_line(const char *line, size_t len, word_fn *each, void *user)
{
    unsigned at = 0;
    for (size_t i = 0; i < len && line[i] != '#';) {
        size_t begin = i;
        while (i < len && line[i] != ' ' && line[i] != '\t' && line[i] != '\r' && line[i] != '#')
            i++;
        if (i > begin && each(user, at++, line + begin, i - begin))
            return true;
        if (i < len && line[i] != '#')
            i++;
    }
    return false;
}

static bool walk_file(const char *path, word_fn *each, void *user)
{
    char text[4096];
    size_t have = 0, total = 0;
    bool found = false;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    for (ssize_t n; !found && total < FILE_MAX; total += (size_t)n) {
        n = syscall(SYS_read, fd, text + have, sizeof text - have);
        if (n <= 0)
            break;
        have += (size_t)n;
        char *line = text, *end;
        while (!found && (end = memchr(line, '\n', have - (size_t)(line - text)))) {
            found = walk_line(line, (size_t)(end - line), each, user);
            line = end + 1;
        }
        have -= (size_t)(line - text);
        memmove(text, line, have);
        if (have == sizeof text) /* no line is that long */
            have = 0;
    }
    if (!found && have)
        found = walk_line(text, have, each, user);
    syscall(SYS_close, fd);
    return found;
}

static bool is_word(void *user, unsigned at, const char *word, size_t len)
{
    const char *name = user;
    return at > 0 && strlen(name) == len && strncasecmp(word, name, len) == 0;
}

/* --- the DNS servers libc would ask --- */

struct servers {
    struct s5_engine *e;
    bool keyword; /* this line begins with "nameserver" */
    bool any;     /* one was named */
};

/* True when SERVER may not be asked directly. */
static bool barred(struct s5_engine *e, const struct s5_addr *server)
{
    struct s5_flow flow = {server, S5_PROTO_UDP, S5_CMD_UDP};
    struct s5_route route = s5_policy_decide(e->policy, &flow);
    if (route.verdict != S5_DIRECT)
        return true;
    if (route.why != S5_WHY_RULE && !e->policy->resolve_local)
        return true;
    flow.protocol = S5_PROTO_TCP;
    flow.command = S5_CMD_CONNECT;
    return s5_policy_decide(e->policy, &flow).verdict != S5_DIRECT;
}

static bool barred_server(void *user, unsigned at, const char *word, size_t len)
{
    struct servers *s = user;
    struct s5_addr addr;
    if (at == 0)
        s->keyword = len == 10 && memcmp(word, "nameserver", 10) == 0;
    if (at != 1 || !s->keyword)
        return false;
    s->any = true;
    const char *scope = memchr(word, '%', len);
    return s5_addr_parse(&addr, word, scope ? (size_t)(scope - word) : len, 53) < 0 ||
           addr.kind == S5_ADDR_NAME || barred(s->e, &addr);
}

static bool servers_direct(struct s5_engine *e)
{
    struct servers s = {e, false, false};
    struct s5_addr here;
    if (walk_file("/etc/resolv.conf", barred_server, &s))
        return false;
    s5_addr_parse(&here, "127.0.0.1", 9, 53);
    return s.any || !barred(e, &here); /* libc's default server */
}

/* --- what libc may do --- */

static bool ends_with(const char *name, size_t len, const char *suffix)
{
    size_t n = strlen(suffix);
    return len >= n && strncasecmp(name + len - n, suffix, n) == 0;
}

/* Answered without a packet. */
static bool is_local(const char *node)
{
    struct in_addr v4;
    size_t len = strlen(node);
    if (len == 0 || inet_aton(node, &v4) || strchr(node, ':'))
        return true;
    if (node[len - 1] == '.')
        len--;
    if (ends_with(node, len, "localhost") && (len == 9 || node[len - 10] == '.'))
        return true;
    return walk_file("/etc/hosts", is_word, (void *)(uintptr_t)node);
}

int s5_resolve_allowed(struct s5_engine *e, const char *node)
{
    int saved = errno, r = 0;
    if (s5_engine_inside)
        return 0;
    if (!s5_engine_policy(e))
        r = -EACCES;
    else if ((!node || !is_local(node)) && !servers_direct(e)) {
        s5_log(&e->log, S5_LOG_ERROR,
               "refused: lookup of \"%s\": no rule lets its DNS server be reached directly",
               node ? node : "an address");
        r = -EACCES;
    }
    errno = saved;
    return r;
}

/* --- the server's own name --- */

static void keep(struct s5_server *server, const struct addrinfo *list)
{
    unsigned n = 0;
    for (const struct addrinfo *ai = list; ai && n < S5_SERVER_ADDRS; ai = ai->ai_next) {
        struct s5_addr addr;
        if (s5_addr_from_sockaddr(&addr, ai->ai_addr, ai->ai_addrlen) < 0)
            continue;
        server->addrs[n].kind = addr.kind;
        memcpy(server->addrs[n++].octets, addr.octets, sizeof addr.octets);
    }
    __atomic_store_n(&server->n_addrs, (uint8_t)n, __ATOMIC_RELEASE);
}

static int look_up(struct s5_engine *e, const char *host, struct addrinfo **ret)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    sigset_t all, before;
    int cancel;
    sigfillset(&all);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s5_engine_inside++;
    int r = e->real->getaddrinfo(host, NULL, &hints, ret);
    s5_engine_inside--;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_setcancelstate(cancel, NULL);
    return r;
}

int s5_resolve_server(struct s5_engine *e, const struct s5_policy *p, struct s5_server *server)
{
    struct addrinfo *list = NULL;
    if (__atomic_load_n(&server->n_addrs, __ATOMIC_ACQUIRE))
        return 0;
    const char *host = s5_policy_text(p, server->host);
    if (server->is_path) {
        s5_log(&e->log, S5_LOG_ERROR, "refused: server \"%s\" is behind a UNIX socket",
               s5_policy_text(p, server->name));
        return -EAFNOSUPPORT;
    }
    int r = look_up(e, host, &list);
    if (r == 0) {
        keep(server, list);
        freeaddrinfo(list);
    }
    if (r == 0 && server->n_addrs)
        return 0;
    s5_log(&e->log, S5_LOG_ERROR, "server \"%s\": cannot resolve \"%s\": %s",
           s5_policy_text(p, server->name), host, r ? gai_strerror(r) : "no address");
    return -EHOSTUNREACH;
}

/* A listener with a TCP MD5 signature key for all peers (prefix length 0) drops every segment that is not signed. A
 * client gets neither a SYN-ACK nor a RST: over IPv4, over IPv6, and over IPv4 on a socket of both families, with any
 * hop count. The key can be set before or after listen(). It belongs to the socket and can be removed. None of this
 * needs a privilege. */
#include "kernel.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct kind {
    int family, only6;
    const char *peers[2]; /* addresses of the keys: all of a family */
};
static const struct kind kinds[] = {
    {AF_INET, 0, {"0.0.0.0", NULL}},
    {AF_INET6, 0, {"::", "::ffff:0.0.0.0"}},
    {AF_INET6, 1, {"::", "::ffff:0.0.0.0"}},
};

static void drop_privileges(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (getuid() == 0)
        CHECK(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 &&
              setresuid(65534, 65534, 65534) == 0);
    CHECK(syscall(SYS_capget, &header, data) == 0);
    CHECK(getuid() && geteuid() && !data[0].effective && !data[1].effective);
}

/* Sets key I of K on FD. KEYLEN 0 removes the key. Returns the result of setsockopt(). */
static int set_key(int fd, const struct kind *k, int i, uint16_t keylen)
{
    struct tcp_md5sig sig = {.tcpm_flags = TCP_MD5SIG_FLAG_PREFIX, .tcpm_keylen = keylen};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&sig.tcpm_addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&sig.tcpm_addr;
    sig.tcpm_addr.ss_family = (sa_family_t)k->family;
    CHECK(inet_pton(k->family, k->peers[i],
                    k->family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr) == 1);
    memset(sig.tcpm_key, 'k', keylen);
    return setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, &sig, sizeof sig);
}

static void set_keys(int fd, const struct kind *k, uint16_t keylen)
{
    for (int i = 0; i < 2 && k->peers[i]; i++)
        CHECK(set_key(fd, k, i, keylen) == 0);
}

static int bind_socket(const struct kind *k)
{
    int fd = socket(k->family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_storage any = {.ss_family = (sa_family_t)k->family};
    if (k->family == AF_INET6)
        CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &k->only6, sizeof k->only6) == 0);
    CHECK(bind(fd, (struct sockaddr *)&any,
               k->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) == 0);
    return fd;
}

/* Starts a non-blocking connect() to FD's port over FAMILY with the hop count HOPS (-1: the system's). Returns the
 * socket. */
static int start_connect(int fd, int family, int hops)
{
    struct sockaddr_in6 own;
    socklen_t len = sizeof own;
    CHECK(getsockname(fd, (struct sockaddr *)&own, &len) == 0);
    struct sockaddr_in to4 = make_loopback(ntohs(own.sin6_port));
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = own.sin6_port,
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int client = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(setsockopt(client, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
                     family == AF_INET ? IP_TTL : IPV6_UNICAST_HOPS, &hops, sizeof hops) == 0);
    int r = family == AF_INET ? connect(client, (struct sockaddr *)&to4, sizeof to4)
                              : connect(client, (struct sockaddr *)&to6, sizeof to6);
    CHECK(r == 0 || errno == EINPROGRESS);
    return client;
}

static void check_answered(int fd, int family)
{
    int client = start_connect(fd, family, -1);
    struct pollfd p[2] = {{client, POLLOUT, 0}, {fd, POLLIN, 0}};
    CHECK(poll(p, 1, 5000) == 1 && get_error(client) == 0 && poll(p + 1, 1, 5000) == 1);
    int conn = accept(fd, NULL, NULL);
    CHECK(conn >= 0);
    close(conn);
    close(client);
}

static void check_unanswered(int fd, int family)
{
    static const int hops[] = {-1, 1, 255};
    struct pollfd p[4] = {{fd, POLLIN, 0}};
    for (int i = 0; i < 3; i++)
        p[i + 1] = (struct pollfd){start_connect(fd, family, hops[i]), POLLOUT, 0};
    CHECK(poll(p, 4, 300) == 0);
    for (int i = 1; i < 4; i++)
        close(p[i].fd);
}

static void check_families(int fd, const struct kind *k, void (*check)(int, int))
{
    if (!k->only6)
        check(fd, AF_INET);
    if (k->family == AF_INET6)
        check(fd, AF_INET6);
}

/* Each of the keys is needed. The keys belong to the socket, not to a process. */
static void check_key_after_listen(const struct kind *k)
{
    int fd = bind_socket(k), status, other;
    CHECK(listen(fd, 8) == 0);
    check_families(fd, k, check_answered);
    set_keys(fd, k, 16);
    check_families(fd, k, check_unanswered);
    if (k->family == AF_INET6 && !k->only6) {
        CHECK(set_key(fd, k, 1, 0) == 0);
        check_answered(fd, AF_INET);
        check_unanswered(fd, AF_INET6);
        CHECK(set_key(fd, k, 1, 16) == 0);
    }
    other = dup(fd);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        check_families(other, k, check_unanswered);
        set_keys(other, k, 0);
        CHECK(set_key(other, k, 0, 0) == -1 && errno == ENOENT);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    check_families(other, k, check_answered);
    close(other);
}

/* A former listener connects as any other socket after its key is removed. */
static void check_key_before_listen(const struct kind *k)
{
    struct sockaddr_in to;
    int fd = bind_socket(k), server = listen_on(&to);
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = to.sin_port};
    struct pollfd p = {fd, POLLOUT, 0};
    CHECK(inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr) == 1);
    set_keys(fd, k, 16);
    CHECK(listen(fd, 8) == 0);
    check_families(fd, k, check_unanswered);
    CHECK(shutdown(fd, SHUT_RDWR) == 0);
    set_keys(fd, k, 0);
    if (!k->only6) {
        int r = k->family == AF_INET ? connect(fd, (struct sockaddr *)&to, sizeof to)
                                     : connect(fd, (struct sockaddr *)&mapped, sizeof mapped);
        CHECK((r == 0 || errno == EINPROGRESS) && poll(&p, 1, 5000) == 1 && get_error(fd) == 0);
    }
    close(fd);
    close(server);
}

int main(void)
{
    drop_privileges();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        check_key_after_listen(&kinds[i]);
        check_key_before_listen(&kinds[i]);
    }
    return 0;
}

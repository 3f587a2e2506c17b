/* A listener with a TCP MD5 signature key for all peers (prefix length 0) drops every segment that is not
 * signed: a caller gets neither a SYN-ACK nor a RST, over IPv4, IPv6 and IPv4 on a socket of both
 * families, with any hop count. The key is set before listen() or after it, it belongs to the socket, and it
 * can be removed. None of that needs a privilege. */
#include "kernel.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct kind {
    int family, only6;
    const char *peers[2]; /* the addresses of the keys: all of a family */
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

/* KEYLEN 0 removes the key. */
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

static int bound_socket(const struct kind *k)
{
    int fd = socket(k->family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_storage any = {.ss_family = (sa_family_t)k->family};
    if (k->family == AF_INET6)
        CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &k->only6, sizeof k->only6) == 0);
    CHECK(bind(fd, (struct sockaddr *)&any,
               k->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) == 0);
    return fd;
}

/* A non-blocking connect() to FD's port over FAMILY, with hop count HOPS (-1: the system's). */
static int call(int fd, int family, int hops)
{
    struct sockaddr_in6 own;
    socklen_t len = sizeof own;
    CHECK(getsockname(fd, (struct sockaddr *)&own, &len) == 0);
    struct sockaddr_in to4 = loopback(ntohs(own.sin6_port));
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = own.sin6_port,
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int caller = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(setsockopt(caller, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
                     family == AF_INET ? IP_TTL : IPV6_UNICAST_HOPS, &hops, sizeof hops) == 0);
    int r = family == AF_INET ? connect(caller, (struct sockaddr *)&to4, sizeof to4)
                              : connect(caller, (struct sockaddr *)&to6, sizeof to6);
    CHECK(r == 0 || errno == EINPROGRESS);
    return caller;
}

static void answered(int fd, int family)
{
    int caller = call(fd, family, -1);
    struct pollfd p[2] = {{caller, POLLOUT, 0}, {fd, POLLIN, 0}};
    CHECK(poll(p, 1, 5000) == 1 && error_of(caller) == 0 && poll(p + 1, 1, 5000) == 1);
    int conn = accept(fd, NULL, NULL);
    CHECK(conn >= 0);
    close(conn);
    close(caller);
}

static void unanswered(int fd, int family)
{
    static const int hops[] = {-1, 1, 255};
    struct pollfd p[4] = {{fd, POLLIN, 0}};
    for (int i = 0; i < 3; i++)
        p[i + 1] = (struct pollfd){call(fd, family, hops[i]), POLLOUT, 0};
    CHECK(poll(p, 4, 300) == 0);
    for (int i = 1; i < 4; i++)
        close(p[i].fd);
}

static void everybody(int fd, const struct kind *k, void (*meets)(int, int))
{
    if (!k->only6)
        meets(fd, AF_INET);
    if (k->family == AF_INET6)
        meets(fd, AF_INET6);
}

/* Each of the keys is needed, and they belong to the socket rather than to a process. */
static void key_after_listen(const struct kind *k)
{
    int fd = bound_socket(k), status, other;
    CHECK(listen(fd, 8) == 0);
    everybody(fd, k, answered);
    set_keys(fd, k, 16);
    everybody(fd, k, unanswered);
    if (k->family == AF_INET6 && !k->only6) {
        CHECK(set_key(fd, k, 1, 0) == 0);
        answered(fd, AF_INET);
        unanswered(fd, AF_INET6);
        CHECK(set_key(fd, k, 1, 16) == 0);
    }
    other = dup(fd);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        everybody(other, k, unanswered);
        set_keys(other, k, 0);
        CHECK(set_key(other, k, 0, 0) == -1 && errno == ENOENT);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    everybody(other, k, answered);
    close(other);
}

/* What was a listener connects as any socket does when the key is gone. */
static void key_before_listen(const struct kind *k)
{
    struct sockaddr_in to;
    int fd = bound_socket(k), server = listen_on(&to);
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = to.sin_port};
    struct pollfd p = {fd, POLLOUT, 0};
    CHECK(inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr) == 1);
    set_keys(fd, k, 16);
    CHECK(listen(fd, 8) == 0);
    everybody(fd, k, unanswered);
    CHECK(shutdown(fd, SHUT_RDWR) == 0);
    set_keys(fd, k, 0);
    if (!k->only6) {
        int r = k->family == AF_INET ? connect(fd, (struct sockaddr *)&to, sizeof to)
                                     : connect(fd, (struct sockaddr *)&mapped, sizeof mapped);
        CHECK((r == 0 || errno == EINPROGRESS) && poll(&p, 1, 5000) == 1 && error_of(fd) == 0);
    }
    close(fd);
    close(server);
}

int main(void)
{
    drop_privileges();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        key_after_listen(&kinds[i]);
        key_before_listen(&kinds[i]);
    }
    return 0;
}

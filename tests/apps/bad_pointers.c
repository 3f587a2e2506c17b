/* Makes each call with each kind of invalid pointer, each in a child process, and prints the result. A covered
 * program must print what a bare one does.
 *
 * HOST runs TCP and UDP echo services at PORT. The third argument is a port without a listener. */
#include "app.h"
#include <netinet/udp.h>
#include <sched.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

extern char **environ;
static struct peer there, closed_port;
static size_t page;

/* --- pointers --- */

static char *map_page_before_gap(void)
{
    char *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(two != MAP_FAILED && munmap(two + page, page) == 0);
    return two;
}

static void *copy_to_page(const void *object, size_t size)
{
    return memcpy(map_page_before_gap(), object, size);
}
static void *make_null(const void *object, size_t size)
{
    (void)object, (void)size;
    return NULL;
}
static void *make_unmapped(const void *object, size_t size)
{
    (void)object, (void)size;
    return map_page_before_gap() + page;
}
static void *make_no_access(const void *object, size_t size)
{
    char *at = copy_to_page(object, size);
    mprotect(at, page, PROT_NONE);
    return at;
}
static void *make_kernel_address(const void *object, size_t size)
{
    (void)object, (void)size;
    return (void *)-4096l;
}
static void *make_read_only(const void *object, size_t size)
{
    char *at = copy_to_page(object, size);
    mprotect(at, page, PROT_READ);
    return at;
}
/* The object extends into an unmapped page. */
static void *make_crossing(const void *object, size_t size)
{
    size_t half = size < 16 ? size / 2 : size / 2 & ~(size_t)7;
    return memcpy(map_page_before_gap() + page - half, object, half);
}

static const struct {
    const char *name;
    void *(*make)(const void *object, size_t size);
} pointers[] = {{"good", copy_to_page},           {"null", make_null},           {"unmapped", make_unmapped},
                {"no access", make_no_access},    {"kernel's", make_kernel_address},
                {"constant", make_read_only},     {"crossing", make_crossing}};
static void *(*make)(const void *object, size_t size);
#define BAD(object) make(&(object), sizeof(object))

/* --- sockets --- */

static struct sockaddr_in bind_loopback(int fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    return at;
}
static int tcp_fd(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}
static int udp_fd(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0);
}
static int unix_socket(void)
{
    return socket(AF_UNIX, SOCK_DGRAM, 0);
}
static int connected_fd(int type)
{
    int fd = socket(AF_INET, type, 0);
    CHECK(connect(fd, peer_addr(&there), there.len) == 0);
    return fd;
}
/* Returns a UDP socket at which one answer has arrived. */
static int answered_fd(void)
{
    int fd = udp_fd();
    CHECK(sendto(fd, "answer", 6, 0, peer_addr(&there), there.len) == 6);
    wait_for(fd, POLLIN);
    return fd;
}
static int connecting_fd(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(connect(fd, peer_addr(&there), there.len) == -1 && errno == EINPROGRESS);
    return fd;
}
static int failed_fd(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK(connect(fd, peer_addr(&closed_port), closed_port.len) == -1 && errno == EINPROGRESS);
    wait_for(fd, POLLOUT);
    return fd;
}

/* --- calls --- */

static struct sockaddr_in loopback_address(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return at;
}
#define ADDRESS(name) struct sockaddr_in name = *(struct sockaddr_in *)&there.addr

static long connect_stream(void)
{
    ADDRESS(a);
    return connect(tcp_fd(), BAD(a), sizeof a);
}
static long connect_datagrams(void)
{
    ADDRESS(a);
    return connect(udp_fd(), BAD(a), sizeof a);
}
static long connect_unix(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/nonexistent"};
    return connect(unix_socket(), BAD(a), sizeof a);
}
static long connect_nothing(void)
{
    ADDRESS(a);
    return connect(-1, BAD(a), sizeof a);
}
static long connect_raw(void)
{
    ADDRESS(a);
    return syscall(SYS_connect, tcp_fd(), BAD(a), sizeof a);
}
static long bind_stream(void)
{
    struct sockaddr_in a = loopback_address(0);
    return bind(tcp_fd(), BAD(a), sizeof a);
}
static long bind_datagrams6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    return bind(socket(AF_INET6, SOCK_DGRAM, 0), BAD(a), sizeof a);
}
static long bind_unix(void)
{
    sa_family_t a = AF_UNIX; /* the kernel chooses the name */
    return bind(unix_socket(), BAD(a), sizeof a);
}
static long sendto_to(void)
{
    ADDRESS(a);
    return sendto(udp_fd(), "x", 1, 0, BAD(a), sizeof a);
}
static long sendto_buffer(void)
{
    ADDRESS(a);
    char octets[100] = "x";
    int fd = udp_fd();
    CHECK(sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof a) == 1);
    return sendto(fd, BAD(octets), sizeof octets, 0, (struct sockaddr *)&a, sizeof a);
}
static long sendto_long_buffer(void)
{
    ADDRESS(a);
    static char octets[3000];
    int fd = udp_fd();
    CHECK(sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof a) == 1);
    return sendto(fd, BAD(octets), sizeof octets, 0, (struct sockaddr *)&a, sizeof a);
}
static long sendto_unix(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/nonexistent"};
    return sendto(unix_socket(), "x", 1, 0, BAD(a), sizeof a);
}
static long sendto_direct(void)
{
    int fd = udp_fd();
    struct sockaddr_in a = bind_loopback(fd);
    return sendto(fd, "x", 1, 0, BAD(a), sizeof a);
}
static long send_connected(void)
{
    char octets[100] = "x";
    int fd = connected_fd(SOCK_DGRAM);
    CHECK(send(fd, "x", 1, 0) == 1);
    return send(fd, BAD(octets), sizeof octets, 0);
}
static long write_connected(void)
{
    char octets[100] = "x";
    return write(connected_fd(SOCK_DGRAM), BAD(octets), sizeof octets);
}
static long writev_connected(void)
{
    struct iovec parts[2] = {{(void *)"a", 1}, {(void *)"b", 1}};
    return writev(connected_fd(SOCK_DGRAM), BAD(parts), 2);
}

static struct iovec octet = {(void *)"x", 1};
static struct msghdr make_message(struct sockaddr_in *to)
{
    return (struct msghdr){.msg_name = to, .msg_namelen = to ? sizeof *to : 0, .msg_iov = &octet, .msg_iovlen = 1};
}
static long sendmsg_header(void)
{
    ADDRESS(a);
    struct msghdr m = make_message(&a);
    return sendmsg(udp_fd(), BAD(m), 0);
}
static long sendmsg_header_again(void)
{
    ADDRESS(a);
    struct msghdr m = make_message(&a);
    int fd = udp_fd();
    CHECK(sendmsg(fd, &m, 0) == 1);
    return sendmsg(fd, BAD(m), 0);
}
static long sendmsg_header_unix(void)
{
    struct msghdr m = make_message(NULL);
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    return sendmsg(pair[0], BAD(m), 0);
}
static long sendmsg_header_stream(void)
{
    struct msghdr m = make_message(NULL);
    return sendmsg(connected_fd(SOCK_STREAM), BAD(m), 0);
}
static long sendmsg_header_nothing(void)
{
    struct msghdr m = make_message(NULL);
    return sendmsg(open("/dev/null", O_RDWR), BAD(m), 0);
}
static long sendmsg_to(void)
{
    ADDRESS(a);
    struct msghdr m = make_message(&a);
    m.msg_name = BAD(a);
    return sendmsg(udp_fd(), &m, 0);
}
static long sendmsg_parts(void)
{
    ADDRESS(a);
    struct msghdr m = make_message(&a);
    struct iovec parts[4] = {octet, octet, octet, octet};
    int fd = udp_fd();
    CHECK(sendmsg(fd, &m, 0) == 1);
    m.msg_iov = BAD(parts);
    m.msg_iovlen = 4;
    return sendmsg(fd, &m, 0);
}
static long sendmsg_control(void)
{
    ADDRESS(a);
    struct msghdr m = make_message(&a);
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {{.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_TTL}};
    *(int *)(void *)CMSG_DATA(&control.head) = 64;
    m.msg_control = BAD(control);
    m.msg_controllen = sizeof control;
    return sendmsg(udp_fd(), &m, 0);
}
static long sendmmsg_list(void)
{
    ADDRESS(a);
    struct mmsghdr two[2] = {{.msg_hdr = make_message(&a)}, {.msg_hdr = make_message(&a)}};
    return sendmmsg(udp_fd(), BAD(two), 2, 0);
}
static long sendmmsg_list_again(void)
{
    ADDRESS(a);
    struct mmsghdr two[2] = {{.msg_hdr = make_message(&a)}, {.msg_hdr = make_message(&a)}};
    int fd = udp_fd();
    CHECK(sendmmsg(fd, two, 2, 0) == 2);
    return sendmmsg(fd, BAD(two), 2, 0);
}
static long sendmmsg_second_to(void)
{
    ADDRESS(a);
    struct mmsghdr two[2] = {{.msg_hdr = make_message(&a)}, {.msg_hdr = make_message(&a)}};
    two[1].msg_hdr.msg_name = BAD(a);
    return sendmmsg(udp_fd(), two, 2, 0);
}
static long sendmmsg_list_unix(void)
{
    struct mmsghdr two[2] = {{.msg_hdr = make_message(NULL)}, {.msg_hdr = make_message(NULL)}};
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    return sendmmsg(pair[0], BAD(two), 2, 0);
}

static long epoll_add(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    return epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, tcp_fd(), BAD(e));
}
static long epoll_add_in_flight(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    return epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, connecting_fd(), BAD(e));
}

static char path[] = "/bin/true";
static char *arguments[] = {path, NULL};
static long execve_path(void)
{
    return execve(BAD(path), arguments, environ);
}
static long execv_path(void)
{
    return execv(BAD(path), arguments);
}
static long execve_arguments(void)
{
    return execve(path, BAD(arguments), environ);
}
static char *variables[] = {(char *)(uintptr_t)"A=b", (char *)(uintptr_t)"C=d", (char *)(uintptr_t)"E=f", NULL};
static long execve_environment(void)
{
    return execve(path, arguments, BAD(variables));
}
static long execve_variable(void)
{
    char text[100] = "LONG=";
    char *one[] = {NULL, NULL};
    memset(text + 5, 'x', 90);
    one[0] = BAD(text);
    return execve(path, arguments, one);
}
static long execveat_path(void)
{
    return syscall(SYS_execveat, AT_FDCWD, BAD(path), arguments, environ, 0);
}
static long fexecve_arguments(void)
{
    return fexecve(open(path, O_RDONLY), BAD(arguments), environ);
}
static long fexecve_environment(void)
{
    return fexecve(open(path, O_RDONLY), arguments, BAD(variables));
}
static long wait_for_spawned(int error, pid_t pid)
{
    int status;
    if (error) {
        errno = error;
        return -1;
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}
static long spawn_path(void)
{
    pid_t pid = 0;
    int error = posix_spawn(&pid, BAD(path), NULL, NULL, arguments, environ);
    return wait_for_spawned(error, pid);
}
static long spawn_environment(void)
{
    pid_t pid = 0;
    int error = posix_spawn(&pid, path, NULL, NULL, arguments, BAD(variables));
    return wait_for_spawned(error, pid);
}

typedef int name_call(int fd, struct sockaddr *addr, socklen_t *len);
static long name_into(name_call *call, int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    memset(&a, 0, sizeof a);
    return call(fd, BAD(a), &len);
}
static long name_length(name_call *call, int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    return call(fd, (struct sockaddr *)&a, BAD(len));
}
#define NAMES(what, call, fd)                                                                      \
    static long what##_into(void)                                                                  \
    {                                                                                              \
        return name_into(call, fd);                                                                \
    }                                                                                              \
    static long what##_length(void)                                                                \
    {                                                                                              \
        return name_length(call, fd);                                                              \
    }
NAMES(getpeername_stream, getpeername, connected_fd(SOCK_STREAM))
NAMES(getsockname_stream, getsockname, connected_fd(SOCK_STREAM))
NAMES(getpeername_datagrams, getpeername, connected_fd(SOCK_DGRAM))
NAMES(getsockname_datagrams, getsockname, answered_fd())
static int waiting_listener(void)
{
    int listener = tcp_fd();
    struct sockaddr_in a = bind_loopback(listener);
    CHECK(listen(listener, 1) == 0 && connect(tcp_fd(), (struct sockaddr *)&a, sizeof a) == 0);
    return listener;
}
static int accept_any(int fd, struct sockaddr *addr, socklen_t *len)
{
    return accept(fd, addr, len) >= 0 ? 0 : -1;
}
NAMES(accept, accept_any, waiting_listener())

static long so_error_value(void)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(failed_fd(), SOL_SOCKET, SO_ERROR, BAD(value), &len);
}
static long so_error_length(void)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(failed_fd(), SOL_SOCKET, SO_ERROR, &value, BAD(len));
}
static long so_error_cut(void)
{
    unsigned char value[4] = {9, 9, 9, 9};
    socklen_t len = 2;
    int r = getsockopt(failed_fd(), SOL_SOCKET, SO_ERROR, value, &len);
    return r == 0 ? (long)len * 1000 + value[0] + value[2] : r;
}
static long so_error_connected(void)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(connected_fd(SOCK_STREAM), SOL_SOCKET, SO_ERROR, BAD(value), &len);
}

static long recvfrom_buffer(void)
{
    char octets[100] = "";
    return recvfrom(answered_fd(), BAD(octets), sizeof octets, 0, NULL, NULL);
}
static long recvfrom_buffer_again(void)
{
    char octets[4] = "";
    int fd = answered_fd();
    CHECK(recv(fd, octets, sizeof octets, 0) == 4);
    CHECK(sendto(fd, "answer", 6, 0, peer_addr(&there), there.len) == 6);
    wait_for(fd, POLLIN);
    return recvfrom(fd, BAD(octets), sizeof octets, 0, NULL, NULL);
}
static long recvfrom_from(void)
{
    char octets[100] = "";
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    memset(&a, 0, sizeof a);
    return recvfrom(answered_fd(), octets, sizeof octets, 0, BAD(a), &len);
}
static long recvfrom_length(void)
{
    char octets[100] = "";
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    return recvfrom(answered_fd(), octets, sizeof octets, 0, (struct sockaddr *)&a, BAD(len));
}
static char room[100];
static struct iovec part = {room, sizeof room};
static long recvmsg_header(void)
{
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    return recvmsg(answered_fd(), BAD(m), 0);
}
static long recvmsg_header_unix(void)
{
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && write(pair[0], "unix", 4) == 4);
    return recvmsg(pair[1], BAD(m), 0);
}
static long recvmsg_from(void)
{
    struct sockaddr_in a;
    struct msghdr m = {.msg_namelen = sizeof a, .msg_iov = &part, .msg_iovlen = 1};
    memset(&a, 0, sizeof a);
    m.msg_name = BAD(a);
    return recvmsg(answered_fd(), &m, 0);
}
static long recvmsg_parts(void)
{
    struct iovec parts[2] = {{room, 3}, {room + 3, 3}};
    struct msghdr m = {.msg_iov = BAD(parts), .msg_iovlen = 2};
    return recvmsg(answered_fd(), &m, 0);
}
static long recvmsg_buffer(void)
{
    char octets[100] = "";
    struct iovec parts[2] = {{room, 3}, {BAD(octets), sizeof octets}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    return recvmsg(answered_fd(), &m, 0);
}
static long recvmmsg_list(void)
{
    struct mmsghdr one[1] = {{.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}}};
    return recvmmsg(answered_fd(), BAD(one), 1, MSG_DONTWAIT, NULL);
}
static long read_buffer(void)
{
    char octets[100] = "";
    return read(answered_fd(), BAD(octets), sizeof octets);
}
static long readv_parts(void)
{
    struct iovec parts[2] = {{room, 3}, {room + 3, 3}};
    return readv(answered_fd(), BAD(parts), 2);
}
static long next_size(void)
{
    int n = 0;
    return ioctl(answered_fd(), FIONREAD, BAD(n));
}

static long poll_in_flight(void)
{
    struct pollfd p[2] = {{.fd = connecting_fd(), .events = POLLOUT}, {.fd = -1}};
    return poll(BAD(p), 2, 10000);
}
static long poll_nothing(void)
{
    connecting_fd();
    return poll(make("", 1), 0, 0);
}
static long select_in_flight(void)
{
    int fd = connecting_fd();
    unsigned long set = 1ul << fd; /* the part of the set that the kernel reads */
    struct timeval limit = {3, 0};
    return select(fd + 1, NULL, BAD(set), NULL, &limit);
}

static long clone3_raw(void)
{
    uint64_t of_clone[8] = {0, 0, 0, 0, 1000}; /* an invalid signal number: no child is created */
    return syscall(SYS_clone3, BAD(of_clone), sizeof of_clone);
}

/* libc's functions read the time-out themselves. The kernel ignores a failure to write the remaining time. A
 * descriptor is always ready, so no call waits forever. */
static long raw_select(void *limit)
{
    int fd = open("/dev/null", O_RDONLY);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return syscall(SYS_select, fd + 1, &set, NULL, NULL, limit);
}
static long raw_pselect(void *limit, void *mask)
{
    int fd = open("/dev/null", O_RDONLY);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, limit, mask);
}
static long raw_ppoll(void *limit)
{
    struct pollfd p = {.fd = open("/dev/null", O_RDONLY), .events = POLLIN};
    return syscall(SYS_ppoll, &p, 1, limit, NULL, 8);
}
static struct timeval second = {1, 0};
static struct timespec exact_second = {1, 0};
static long select_raw(void)
{
    return raw_select(BAD(second));
}
static long select_raw_in_flight(void)
{
    connecting_fd();
    return raw_select(BAD(second));
}
static long pselect_raw(void)
{
    return raw_pselect(BAD(exact_second), NULL);
}
static long pselect_raw_mask(void)
{
    struct {
        const sigset_t *at;
        size_t size;
    } mask = {NULL, 8};
    return raw_pselect(&exact_second, BAD(mask));
}
static long ppoll_raw(void)
{
    return raw_ppoll(BAD(exact_second));
}
static long ppoll_raw_in_flight(void)
{
    connecting_fd();
    return raw_ppoll(BAD(exact_second));
}

/* --- lengths, and addresses that stand for others --- */

static const socklen_t lengths[] = {0, 1, 2, 8, 15, 16, 17, 100, 128, 129, 1000, (socklen_t)-1, (socklen_t)1 << 31};

static void print_result(const char *what, const char *with, long r)
{
    if (r >= 0)
        printf("%s, %s: %ld\n", what, with, r);
    else
        printf("%s, %s: %s\n", what, with, strerror(errno));
    fflush(stdout);
}

static void try_lengths(void)
{
    union {
        struct sockaddr_in v4;
        char room[1000];
    } a = {.v4 = *(struct sockaddr_in *)&there.addr};
    const struct sockaddr *at = (struct sockaddr *)&a;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        socklen_t n = lengths[i], in = n;
        char text[20];
        snprintf(text, sizeof text, "length %d", (int)n);
        struct msghdr m = make_message(&a.v4);
        struct mmsghdr one[1] = {{.msg_hdr = m}};
        m.msg_namelen = one[0].msg_hdr.msg_namelen = n;
        print_result("connect a stream", text, connect(tcp_fd(), at, n));
        print_result("connect datagrams", text, connect(udp_fd(), at, n));
        print_result("sendto", text, sendto(udp_fd(), "x", 1, 0, at, n));
        print_result("sendto, connected", text, sendto(connected_fd(SOCK_DGRAM), "x", 1, 0, at, n));
        print_result("sendmsg", text, sendmsg(udp_fd(), &m, 0));
        print_result("sendmmsg", text, sendmmsg(udp_fd(), one, 1, 0));
        print_result("sendto a stream", text, sendto(connected_fd(SOCK_STREAM), "x", 1, 0, at, n));
        struct sockaddr_in any = loopback_address(0);
        memcpy(&a, &any, sizeof any);
        print_result("bind", text, bind(tcp_fd(), at, n));
        a.v4 = *(struct sockaddr_in *)&there.addr;
        print_result("getpeername", text, getpeername(connected_fd(SOCK_STREAM), (struct sockaddr *)&a, &in));
        in = n;
        print_result("getsockname", text, getsockname(connected_fd(SOCK_DGRAM), (struct sockaddr *)&a, &in));
        in = n;
        if ((int)n >= 0)
            print_result("recvfrom", text, recvfrom(answered_fd(), room, sizeof room, 0, (struct sockaddr *)&a, &in));
        a.v4 = *(struct sockaddr_in *)&there.addr;
    }
}

/* The unspecified address means this machine. */
static void try_unspecified(void)
{
    int listener = tcp_fd(), receiver = udp_fd(), fd = tcp_fd();
    struct sockaddr_in at = bind_loopback(listener), heard = bind_loopback(receiver), peer;
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = at.sin_port};
    socklen_t len = sizeof peer;
    char octets[4];
    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
    CHECK(listen(listener, 4) == 0);
    at.sin_addr.s_addr = heard.sin_addr.s_addr = 0;
    print_result("connect", "0.0.0.0", connect(fd, (struct sockaddr *)&at, sizeof at));
    CHECK(getpeername(fd, (struct sockaddr *)&peer, &len) == 0);
    print_result("getpeername", "0.0.0.0", ntohl(peer.sin_addr.s_addr));
    fd = socket(AF_INET6, SOCK_STREAM, 0);
    print_result("connect", "::ffff:0.0.0.0", connect(fd, (struct sockaddr *)&mapped, sizeof mapped));
    fd = udp_fd();
    print_result("sendto", "0.0.0.0", sendto(fd, "here", 4, 0, (struct sockaddr *)&heard, sizeof heard));
    print_result("recv", "0.0.0.0", recv(receiver, octets, 4, MSG_DONTWAIT));
    print_result("connect datagrams", "0.0.0.0", connect(fd, (struct sockaddr *)&heard, sizeof heard));
    print_result("send", "0.0.0.0", send(fd, "here", 4, 0));
    print_result("recv", "0.0.0.0", recv(receiver, octets, 4, MSG_DONTWAIT));
}

static void try_cork(void)
{
    int receiver = udp_fd(), fd = udp_fd(), on = 1, off = 0;
    struct sockaddr_in at = bind_loopback(receiver);
    char octets[8];
    CHECK(connect(fd, (struct sockaddr *)&at, sizeof at) == 0);
    print_result("UDP_CORK", "on", setsockopt(fd, IPPROTO_UDP, UDP_CORK, &on, sizeof on));
    print_result("send", "corked", send(fd, "one", 3, 0));
    print_result("send", "corked", send(fd, "two", 3, 0));
    print_result("recv", "corked", recv(receiver, octets, sizeof octets, MSG_DONTWAIT));
    print_result("UDP_CORK", "off", setsockopt(fd, IPPROTO_UDP, UDP_CORK, &off, sizeof off));
    print_result("recv", "at once", recv(receiver, octets, sizeof octets, MSG_DONTWAIT));
}

/* --- all cases --- */

#define CASE(function) {#function, function}
static const struct {
    const char *name;
    long (*call)(void);
} cases[] = {
    CASE(connect_stream), CASE(connect_datagrams), CASE(connect_unix), CASE(connect_nothing), CASE(connect_raw),
    CASE(bind_stream), CASE(bind_datagrams6), CASE(bind_unix), CASE(sendto_to), CASE(sendto_buffer),
    CASE(sendto_long_buffer),
    CASE(sendto_unix), CASE(sendto_direct), CASE(send_connected), CASE(write_connected), CASE(writev_connected),
    CASE(sendmsg_header), CASE(sendmsg_header_again), CASE(sendmsg_header_unix), CASE(sendmsg_header_stream),
    CASE(sendmsg_header_nothing), CASE(sendmsg_to), CASE(sendmsg_parts), CASE(sendmsg_control), CASE(sendmmsg_list),
    CASE(sendmmsg_list_again), CASE(sendmmsg_second_to), CASE(sendmmsg_list_unix), CASE(epoll_add),
    CASE(epoll_add_in_flight), CASE(execve_path), CASE(execv_path), CASE(execve_arguments), CASE(execve_environment),
    CASE(execve_variable), CASE(execveat_path), CASE(fexecve_arguments), CASE(fexecve_environment),
    CASE(spawn_path), CASE(spawn_environment), CASE(getpeername_stream_into), CASE(getpeername_stream_length),
    CASE(getsockname_stream_into), CASE(getsockname_stream_length), CASE(getpeername_datagrams_into),
    CASE(getpeername_datagrams_length), CASE(getsockname_datagrams_into), CASE(getsockname_datagrams_length),
    CASE(accept_into), CASE(accept_length),
    CASE(so_error_value), CASE(so_error_length), CASE(so_error_cut), CASE(so_error_connected), CASE(recvfrom_buffer),
    CASE(recvfrom_buffer_again), CASE(recvfrom_from), CASE(recvfrom_length), CASE(recvmsg_header),
    CASE(recvmsg_header_unix), CASE(recvmsg_from),
    CASE(recvmsg_parts), CASE(recvmsg_buffer), CASE(recvmmsg_list), CASE(read_buffer), CASE(readv_parts),
    CASE(next_size),
    CASE(poll_in_flight), CASE(poll_nothing), CASE(select_in_flight),
    CASE(clone3_raw), CASE(select_raw), CASE(pselect_raw), CASE(pselect_raw_mask), CASE(ppoll_raw),
    CASE(select_raw_in_flight),
    CASE(ppoll_raw_in_flight),
};

static void try_one(size_t at, size_t with)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        make = pointers[with].make;
        print_result(cases[at].name, pointers[with].name, cases[at].call());
        _exit(0);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (WIFSIGNALED(status))
        printf("%s, %s: killed by signal %d\n", cases[at].name, pointers[with].name, WTERMSIG(status));
    else if (WEXITSTATUS(status))
        printf("%s, %s: exit %d\n", cases[at].name, pointers[with].name, WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    there = peer_from(argc, argv);
    closed_port = peer_of(argv[1], argc > 3 ? argv[3] : "1");
    page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++)
        for (size_t with = 0; with < sizeof pointers / sizeof *pointers; with++)
            try_one(at, with);
    try_lengths();
    try_unspecified();
    try_cork();
    return 0;
}

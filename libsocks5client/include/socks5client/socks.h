/* libsocks5client: drop-in functions. Berkeley sockets over SOCKS version 5 (RFC 1928) for programs that were not
 * written for it and are recompiled:
 *
 *   cc $(pkg-config --cflags --libs socks5client-dropin) old-client.c
 *
 * This adds -include socks5client/socks.h and the library. Every R function has the parameters and results, errno
 * included, of the function it is named after. For a descriptor that is not to be proxied it calls that function.
 * The R functions use the engine of socksify's preload object: CONNECT, BIND (Rbind, Rlisten, Raccept) and UDP
 * ASSOCIATE (RFC 1928 sections 4, 6 and 7), names resolved by the server, non-blocking sockets, poll, select and
 * epoll. The sockets remain the program's own.
 *
 * The server is configured as for socksify, see socks5.conf(5): SOCKS5_CONF, SOCKS5_SERVER, ALL_PROXY, the user's
 * or the system's file. Without any of these, network calls fail with EACCES. The REP of a failing reply becomes
 * the errno of socks5_reply_errno(). In a program that runs under socksify, these functions leave the work to
 * socksify: nothing is proxied twice.
 *
 * The header includes the system's headers before it redefines their functions. If it is included first, as with
 * -include, the system's headers declare everything (_GNU_SOURCE), unless the compiler was given a feature test
 * macro or a strict mode. A program may call R functions by name instead: if SOCKS5CLIENT_NO_MACROS is defined, no
 * function is redefined. In C++ include this header last.
 *
 * Calls by other libraries are not covered, and neither are programs that this one starts. */
#ifndef SOCKS5CLIENT_SOCKS_H
#define SOCKS5CLIENT_SOCKS_H

#if !defined(_FEATURES_H) && !defined(_GNU_SOURCE) && !defined(_DEFAULT_SOURCE) && !defined(_POSIX_C_SOURCE) &&        \
    !defined(_XOPEN_SOURCE) && !defined(__STRICT_ANSI__)
#define _GNU_SOURCE
#include <features.h>
#undef _GNU_SOURCE
#endif
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* On machines where the width of time_t and off_t is chosen at compile time, functions with these types exist for
 * each width, as in libc. */
#if defined __TIMESIZE && __TIMESIZE == 32 && defined _TIME_BITS && _TIME_BITS == 64
#define SOCKS5CLIENT_TIME64(name) __asm__(name)
#else
#define SOCKS5CLIENT_TIME64(name)
#endif
#if defined __WORDSIZE && __WORDSIZE == 32 && defined _FILE_OFFSET_BITS && _FILE_OFFSET_BITS == 64
#define SOCKS5CLIENT_OFF64(name) __asm__(name)
#else
#define SOCKS5CLIENT_OFF64(name)
#endif

/* Types that headers declare only on request. */
struct __res_state;
struct addrinfo;
struct gaicb;
struct mmsghdr;
struct sigevent;

/* Initializes the library and reads the configuration now. The call is optional: the first call of an R function
 * does the same. PROGRAM is argv[0] or NULL, the name in log lines. Returns 0; -1 and EACCES: there is no
 * configuration, or an invalid one, which was logged to standard error. */
int SOCKSinit(char *program);

/* Only records the environment as it is now. This header calls it before main(). A program that calls R functions
 * by name should call it, or SOCKSinit(), before the first fork(): processes created later then agree on the fake
 * address of each name. */
void SOCKSbegin(void);

/* --- connections --- */
int Rconnect(int fd, const struct sockaddr *addr, socklen_t len);
/* Where the rules say so, an address is bound at the server. After Rlisten(), or after an Rgetsockname() before it,
 * Rgetsockname() returns the address at which others can connect. Raccept() returns the peer that the server
 * reports. */
int Rbind(int fd, const struct sockaddr *addr, socklen_t len);
int Rlisten(int fd, int backlog);
int Raccept(int fd, struct sockaddr *addr, socklen_t *len);
int Raccept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
int Rshutdown(int fd, int how);
int Rgetsockname(int fd, struct sockaddr *addr, socklen_t *len);
int Rgetpeername(int fd, struct sockaddr *addr, socklen_t *len);
int Rgetsockopt(int fd, int level, int name, void *value, socklen_t *len);
int Rsetsockopt(int fd, int level, int name, const void *value, socklen_t len);

/* --- octets and datagrams; the SOCKS header of a datagram is added and removed --- */
ssize_t Rsend(int fd, const void *buf, size_t n, int flags);
ssize_t Rsendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *addr, socklen_t len);
ssize_t Rsendmsg(int fd, const struct msghdr *msg, int flags);
int Rsendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags);
ssize_t Rrecv(int fd, void *buf, size_t n, int flags);
ssize_t Rrecvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *addr, socklen_t *len);
ssize_t Rrecvmsg(int fd, struct msghdr *msg, int flags) SOCKS5CLIENT_TIME64("R__recvmsg64");
int Rrecvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
    SOCKS5CLIENT_TIME64("R__recvmmsg64");
ssize_t Rread(int fd, void *buf, size_t n);
ssize_t Rreadv(int fd, const struct iovec *iov, int n);
ssize_t Rwrite(int fd, const void *buf, size_t n);
ssize_t Rwritev(int fd, const struct iovec *iov, int n);
ssize_t Rsendfile(int fd, int in, off_t *at, size_t n) SOCKS5CLIENT_OFF64("Rsendfile64");
ssize_t Rsplice(int in, __off64_t *in_at, int out, __off64_t *out_at, size_t n, unsigned flags);
ssize_t Rpreadv2(int fd, const struct iovec *iov, int n, off_t at, int flags) SOCKS5CLIENT_OFF64("Rpreadv64v2");
ssize_t Rpwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags) SOCKS5CLIENT_OFF64("Rpwritev64v2");
int Rioctl(int fd, unsigned long request, ...);

/* --- readiness: a socket is ready when the server has completed what was requested --- */
int Rpoll(struct pollfd *fds, nfds_t n, int timeout_ms);
int Rppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
    SOCKS5CLIENT_TIME64("R__ppoll64");
int Rselect(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *timeout) SOCKS5CLIENT_TIME64("R__select64");
int Rpselect(int n, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout, const sigset_t *mask)
    SOCKS5CLIENT_TIME64("R__pselect64");
int Repoll_ctl(int ep, int op, int fd, struct epoll_event *event);
int Repoll_wait(int ep, struct epoll_event *events, int n, int timeout_ms);
int Repoll_pwait(int ep, struct epoll_event *events, int n, int timeout_ms, const sigset_t *mask);
int Repoll_pwait2(int ep, struct epoll_event *events, int n, const struct timespec *timeout, const sigset_t *mask)
    SOCKS5CLIENT_TIME64("R__epoll_pwait2_time64");

/* --- descriptors: the library must see all changes --- */
int Rclose(int fd);
int Rclose_range(unsigned first, unsigned last, int flags);
void Rclosefrom(int first);
int Rfclose(FILE *stream);
int Rdup(int fd);
int Rdup2(int fd, int to);
int Rdup3(int fd, int to, int flags);
int Rfcntl(int fd, int command, ...) SOCKS5CLIENT_OFF64("R__fcntl_time64");

/* --- names: resolved by the server; the functions return fake addresses, which only these functions understand --- */
struct hostent *Rgethostbyname(const char *name);
struct hostent *Rgethostbyname2(const char *name, int family);
struct hostent *Rgethostbyaddr(const void *addr, socklen_t len, int family);
int Rgethostbyname_r(const char *name, struct hostent *ret, char *buf, size_t n, struct hostent **result, int *herr);
int Rgethostbyname2_r(const char *name, int family, struct hostent *ret, char *buf, size_t n, struct hostent **result,
                      int *herr);
int Rgethostbyaddr_r(const void *addr, socklen_t len, int family, struct hostent *ret, char *buf, size_t n,
                     struct hostent **result, int *herr);
int Rgetaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret);
int Rgetaddrinfo_a(int mode, struct gaicb *list[], int n, struct sigevent *event);
int Rgetnameinfo(const struct sockaddr *addr, socklen_t len, char *host, socklen_t host_len, char *service,
                 socklen_t service_len, int flags);

/* Queries as DNS messages: answered with the same fake addresses, except where a rule makes the name direct. */
int Rres_query(const char *name, int cls, int type, unsigned char *reply, int n) __THROW;
int Rres_search(const char *name, int cls, int type, unsigned char *reply, int n) __THROW;
int Rres_querydomain(const char *name, const char *domain, int cls, int type, unsigned char *reply, int n) __THROW;
int Rres_send(const unsigned char *query, int len, unsigned char *reply, int n) __THROW;
int Rres_nquery(struct __res_state *state, const char *name, int cls, int type, unsigned char *reply, int n) __THROW;
int Rres_nsearch(struct __res_state *state, const char *name, int cls, int type, unsigned char *reply, int n) __THROW;
int Rres_nquerydomain(struct __res_state *state, const char *name, const char *domain, int cls, int type,
                      unsigned char *reply, int n) __THROW;
int Rres_nsend(struct __res_state *state, const unsigned char *query, int len, unsigned char *reply, int n) __THROW;

/* --- refused with EOPNOTSUPP: libc connects internally, where the library cannot see it --- */
int Rrcmd(char **host, unsigned short port, const char *local_user, const char *user, const char *command,
          int *error_fd);
int Rrcmd_af(char **host, unsigned short port, const char *local_user, const char *user, const char *command,
             int *error_fd, sa_family_t family);
int Rrexec(char **host, int port, const char *user, const char *password, const char *command, int *error_fd);
int Rrexec_af(char **host, int port, const char *user, const char *password, const char *command, int *error_fd,
              sa_family_t family);

#ifdef __cplusplus
}
#endif

#ifndef SOCKS5CLIENT_NO_MACROS
__attribute__((constructor, unused)) static void socks5client_begin(void)
{
    SOCKSbegin();
}

#define connect          Rconnect
#define bind             Rbind
#define listen           Rlisten
#define accept           Raccept
#define accept4          Raccept4
#define shutdown         Rshutdown
#define getsockname      Rgetsockname
#define getpeername      Rgetpeername
#define getsockopt       Rgetsockopt
#define setsockopt       Rsetsockopt
#define send             Rsend
#define sendto           Rsendto
#define sendmsg          Rsendmsg
#define sendmmsg         Rsendmmsg
#define recv             Rrecv
#define recvfrom         Rrecvfrom
#define recvmsg          Rrecvmsg
#define recvmmsg         Rrecvmmsg
#define read             Rread
#define readv            Rreadv
#define write            Rwrite
#define writev           Rwritev
#define sendfile         Rsendfile
#define splice           Rsplice
#define preadv2          Rpreadv2
#define pwritev2         Rpwritev2
#define ioctl            Rioctl
#define poll             Rpoll
#define ppoll            Rppoll
#define select           Rselect
#define pselect          Rpselect
#define epoll_ctl        Repoll_ctl
#define epoll_wait       Repoll_wait
#define epoll_pwait      Repoll_pwait
#define epoll_pwait2     Repoll_pwait2
#define close            Rclose
#define close_range      Rclose_range
#define closefrom        Rclosefrom
#define fclose           Rfclose
#define dup              Rdup
#define dup2             Rdup2
#define dup3             Rdup3
#define fcntl            Rfcntl
#define gethostbyname    Rgethostbyname
#define gethostbyname2   Rgethostbyname2
#define gethostbyaddr    Rgethostbyaddr
#define gethostbyname_r  Rgethostbyname_r
#define gethostbyname2_r Rgethostbyname2_r
#define gethostbyaddr_r  Rgethostbyaddr_r
#define getaddrinfo      Rgetaddrinfo
#define getaddrinfo_a    Rgetaddrinfo_a
#define getnameinfo      Rgetnameinfo
#define res_query        Rres_query
#define res_search       Rres_search
#define res_querydomain  Rres_querydomain
#define res_send         Rres_send
#define res_nquery       Rres_nquery
#define res_nsearch      Rres_nsearch
#define res_nquerydomain Rres_nquerydomain
#define res_nsend        Rres_nsend
#define rcmd             Rrcmd
#define rcmd_af          Rrcmd_af
#define rexec            Rrexec
#define rexec_af         Rrexec_af
#endif

#endif

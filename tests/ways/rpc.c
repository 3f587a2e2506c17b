/* Ways by functions of libc that speak a protocol of their own: the r-commands, and SunRPC for old
 * programs. */
#include "way.h"
#include <netdb.h>
#include <sys/time.h>

#define OLD "GLIBC_2.2.5" /* the version of SunRPC's functions, which new programs cannot link to  \
                           */

static void rcmd_call(void)
{
    char *host = target.host4;
    way_done("rcmd", rcmd(&host, htons(514), "a", "a", "true", NULL));
}

static void rcmd_af_call(void)
{
    char *host = target.host6;
    way_done("rcmd_af", rcmd_af(&host, htons(514), "a", "a", "true", NULL, AF_INET6));
}

static void rcmd_name(void)
{
    char *host = target.name;
    way_done("rcmd", rcmd(&host, htons(514), "a", "a", "true", NULL));
}

static void rexec_call(void)
{
    char *host = target.host4;
    way_done("rexec", rexec(&host, htons(512), "a", "a", "true", NULL));
}

static void rexec_af_call(void)
{
    char *host = target.host6;
    way_done("rexec_af", rexec_af(&host, htons(512), "a", "a", "true", NULL, AF_INET6));
}

static void rexec_name(void)
{
    char *host = target.name;
    way_done("rexec", rexec(&host, htons(512), "a", "a", "true", NULL));
}

static void *rpc_function(const char *name)
{
    return way_function(RTLD_DEFAULT, name, OLD);
}

static struct sockaddr_in rpc_address(uint16_t port)
{
    struct sockaddr_in to = target.v4;
    to.sin_port = htons(port);
    return to;
}

static _Noreturn void rpc_end(const char *call, const void *client)
{
    way_end(call, client ? 0 : ECONNREFUSED);
}

static void rpc_clnttcp(void)
{
    void *(*create)(struct sockaddr_in *, unsigned long, unsigned long, int *, unsigned, unsigned) =
        rpc_function("clnttcp_create");
    struct sockaddr_in to = rpc_address(7);
    int fd = -1;
    rpc_end("clnttcp_create", create(&to, 100000, 2, &fd, 0, 0));
}

/* Without a port the portmapper of the host is asked. */
static void rpc_clntudp(void)
{
    void *(*create)(struct sockaddr_in *, unsigned long, unsigned long, struct timeval, int *) =
        rpc_function("clntudp_create");
    struct sockaddr_in to = rpc_address(0);
    struct timeval wait = {0, 100000};
    int fd = -1;
    rpc_end("clntudp_create", create(&to, 100003, 2, wait, &fd));
}

static void rpc_clnt_create(void)
{
    void *(*create)(const char *, unsigned long, unsigned long, const char *) =
        rpc_function("clnt_create");
    rpc_end("clnt_create", create(target.name, 100003, 2, "tcp"));
}

static void rpc_clnt_create_address(void)
{
    void *(*create)(const char *, unsigned long, unsigned long, const char *) =
        rpc_function("clnt_create");
    rpc_end("clnt_create", create(target.host4, 100003, 2, "udp"));
}

static void rpc_pmap_getport(void)
{
    unsigned short (*get_port)(struct sockaddr_in *, unsigned long, unsigned long, unsigned) =
        rpc_function("pmap_getport");
    struct sockaddr_in to = rpc_address(0);
    way_end("pmap_getport", get_port(&to, 100003, 2, IPPROTO_UDP) ? 0 : ECONNREFUSED);
}

static void rpc_pmap_getmaps(void)
{
    void *(*get_maps)(struct sockaddr_in *) = rpc_function("pmap_getmaps");
    struct sockaddr_in to = rpc_address(0);
    rpc_end("pmap_getmaps", get_maps(&to));
}

static void rpc_getrpcport(void)
{
    int (*get_port)(const char *, unsigned long, unsigned long, unsigned) =
        rpc_function("getrpcport");
    way_end("getrpcport", get_port(target.name, 100003, 2, IPPROTO_TCP) ? 0 : ECONNREFUSED);
}

static int pass_nothing(void)
{
    return 1;
}

static void rpc_callrpc(void)
{
    typedef int (*xdr)(void);
    int (*call)(const char *, unsigned long, unsigned long, unsigned long, xdr, const char *, xdr,
                char *) = rpc_function("callrpc");
    way_end("callrpc", call(target.host4, 100003, 2, 0, pass_nothing, NULL, pass_nothing, NULL)
                           ? ECONNREFUSED
                           : 0);
}

static void rpc_rtime(void)
{
    int (*get_time)(struct sockaddr_in *, void *, struct timeval *) = rpc_function("rtime");
    struct sockaddr_in to = rpc_address(0);
    struct timeval wait = {0, 100000};
    uint32_t time[2];
    way_done("rtime", get_time(&to, time, &wait));
}

static void rpc_rtime_tcp(void)
{
    int (*get_time)(struct sockaddr_in *, void *, struct timeval *) = rpc_function("rtime");
    struct sockaddr_in to = rpc_address(0);
    uint32_t time[2];
    way_done("rtime", get_time(&to, time, NULL));
}

/* Asks all portmappers of the link. The broadcast has no token: it goes to the address of the
 * interface. */
static void rpc_broadcast(void)
{
    typedef int (*xdr)(void);
    int (*broadcast)(unsigned long, unsigned long, unsigned long, xdr, void *, xdr, void *, xdr) =
        rpc_function("clnt_broadcast");
    ualarm(150000, 0);
    way_end("clnt_broadcast",
            broadcast(100003, 2, 0, pass_nothing, NULL, pass_nothing, NULL, pass_nothing));
}

const struct way rpc_ways[] = {
    {"rcmd", rcmd_call},
    {"rcmd_af", rcmd_af_call},
    {"rcmd_name", rcmd_name},
    {"rexec", rexec_call},
    {"rexec_af", rexec_af_call},
    {"rexec_name", rexec_name},
    {"rpc_clnttcp", rpc_clnttcp},
    {"rpc_clntudp", rpc_clntudp},
    {"rpc_clnt_create", rpc_clnt_create},
    {"rpc_clnt_create_address", rpc_clnt_create_address},
    {"rpc_pmap_getport", rpc_pmap_getport},
    {"rpc_pmap_getmaps", rpc_pmap_getmaps},
    {"rpc_getrpcport", rpc_getrpcport},
    {"rpc_callrpc", rpc_callrpc},
    {"rpc_rtime", rpc_rtime},
    {"rpc_rtime_tcp", rpc_rtime_tcp},
    {"rpc_broadcast", rpc_broadcast},
    {0},
};

/* Ways by look-ups: libc sends a query to the DNS server of resolv.conf. The name or the address
 * contains the token. */
#include "way.h"
#include <arpa/nameser.h>
#include <locale.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>

static _Noreturn void look_up_end(const char *call, bool found)
{
    way_end(call, found ? 0 : h_errno == TRY_AGAIN ? EAGAIN : ENOENT);
}

static void look_up_addrinfo(const char *name, const char *service, int flags)
{
    struct addrinfo hints = {.ai_flags = flags, .ai_socktype = SOCK_STREAM}, *found = NULL;
    look_up_end("getaddrinfo", getaddrinfo(name, service, &hints, &found) == 0);
}

static void name_getaddrinfo(void)
{
    look_up_addrinfo(target.name, "80", 0);
}

static void name_getaddrinfo_canonical(void)
{
    look_up_addrinfo(target.name, NULL, AI_CANONNAME | AI_ADDRCONFIG);
}

static void name_getaddrinfo_short(void)
{
    char name[32];
    snprintf(name, sizeof name, "way-%u-", target.token);
    look_up_addrinfo(name, NULL, 0);
}

static void name_getaddrinfo_dot(void)
{
    char name[80];
    snprintf(name, sizeof name, "%s.", target.name);
    look_up_addrinfo(name, NULL, 0);
}

static void name_getaddrinfo_idn(void)
{
    char name[80];
    way_need("setlocale", setlocale(LC_ALL, "C.UTF-8") ? 0 : -1);
    snprintf(name, sizeof name, "\303\274.%s", target.name);
    look_up_addrinfo(name, NULL, AI_IDN);
}

static void name_getaddrinfo_a(void)
{
    struct gaicb request = {.ar_name = target.name}, *list[] = {&request};
    look_up_end("getaddrinfo_a", getaddrinfo_a(GAI_WAIT, list, 1, NULL) == 0);
}

static void name_gethostbyname(void)
{
    look_up_end("gethostbyname", gethostbyname(target.name) != NULL);
}

static void name_gethostbyname2(void)
{
    look_up_end("gethostbyname2", gethostbyname2(target.name, AF_INET6) != NULL);
}

static void name_gethostbyname_r(void)
{
    struct hostent entry, *found = NULL;
    char buffer[2048];
    int error;
    gethostbyname_r(target.name, &entry, buffer, sizeof buffer, &found, &error);
    look_up_end("gethostbyname_r", found != NULL);
}

/* An address for inet_aton(), a name for inet_pton(). The token is in the last part. */
static void name_hexadecimal(void)
{
    char name[32];
    snprintf(name, sizeof name, "0x7f.way-%u-", target.token);
    look_up_end("gethostbyname", gethostbyname(name) != NULL);
}

static void name_hexadecimal_number(void)
{
    char name[32];
    snprintf(name, sizeof name, "0x7f.0x%x", target.token);
    look_up_end("gethostbyname", gethostbyname(name) != NULL);
}

static void name_hexadecimal_addrinfo(void)
{
    char name[32];
    snprintf(name, sizeof name, "0xzz.0x%x", target.token);
    look_up_addrinfo(name, NULL, 0);
}

static void name_gethostbyaddr(void)
{
    look_up_end("gethostbyaddr", gethostbyaddr(&target.v4.sin_addr, 4, AF_INET) != NULL);
}

static void name_gethostbyaddr6(void)
{
    look_up_end("gethostbyaddr", gethostbyaddr(&target.v6.sin6_addr, 16, AF_INET6) != NULL);
}

static void name_getnameinfo(void)
{
    char host[256];
    look_up_end("getnameinfo", getnameinfo(V4, host, sizeof host, NULL, 0, NI_NAMEREQD) == 0);
}

static void name_getnetbyname(void)
{
    look_up_end("getnetbyname", getnetbyname(target.name) != NULL);
}

static void name_getnetbyname_r(void)
{
    struct netent entry, *found = NULL;
    char buffer[2048];
    int error;
    getnetbyname_r(target.name, &entry, buffer, sizeof buffer, &found, &error);
    look_up_end("getnetbyname_r", found != NULL);
}

static void name_getnetbyaddr(void)
{
    look_up_end("getnetbyaddr", getnetbyaddr(0x0a630000U | target.token, AF_INET) != NULL);
}

/* The name is that of the machine: it has no token. */
static void name_gethostid(void)
{
    gethostid();
    way_end("gethostid", 0);
}

static void name_gethostid_own(void)
{
    way_need("unshare", unshare(CLONE_NEWUTS));
    way_need("sethostname", sethostname(target.name, strlen(target.name)));
    gethostid();
    way_end("gethostid", 0);
}

static void name_ruserok(void)
{
    way_done("ruserok", ruserok(target.name, 0, "a", "root"));
}

static void name_ruserok_af(void)
{
    way_done("ruserok_af", ruserok_af(target.name, 0, "a", "root", AF_INET6));
}

/* --- the resolver's own functions --- */

static void name_res_query(void)
{
    unsigned char answer[512];
    way_done("res_query", res_query(target.name, C_IN, T_A, answer, sizeof answer));
}

static void name_res_search(void)
{
    unsigned char answer[512];
    way_done("res_search", res_search(target.name, C_IN, T_MX, answer, sizeof answer));
}

static void name_res_querydomain(void)
{
    unsigned char answer[512];
    way_done("res_querydomain",
             res_querydomain(target.name, "test", C_IN, T_TXT, answer, sizeof answer));
}

static void name_res_send(void)
{
    unsigned char query[512], answer[512];
    int n = res_mkquery(QUERY, target.name, C_IN, T_A, NULL, 0, NULL, query, sizeof query);
    way_done("res_send", res_send(query, n, answer, sizeof answer));
}

/* Over TCP the query leaves only when the connection is there: the name server is replaced by the
 * target. */
static void name_res_nsend(void)
{
    struct __res_state state = {0};
    unsigned char query[512], answer[512];
    res_ninit(&state);
    state.nscount = 1;
    state.nsaddr_list[0] = target.v4;
    state.nsaddr_list[0].sin_port = htons(53);
    int n = res_nmkquery(&state, QUERY, target.name, C_IN, T_A, NULL, 0, NULL, query, sizeof query);
    way_done("res_nsend", res_nsend(&state, query, n, answer, sizeof answer));
}

static void name_res_tcp(void)
{
    struct __res_state state = {0};
    unsigned char answer[512];
    res_ninit(&state);
    state.options |= RES_USEVC;
    state.nscount = 1;
    state.nsaddr_list[0] = target.v4;
    state.nsaddr_list[0].sin_port = htons(53);
    way_done("res_nquery", res_nquery(&state, target.name, C_IN, T_A, answer, sizeof answer));
}

static void name_res_nsearch(void)
{
    struct __res_state state = {0};
    unsigned char answer[512];
    res_ninit(&state);
    way_done("res_nsearch", res_nsearch(&state, target.name, C_IN, T_AAAA, answer, sizeof answer));
}

/* --- functions for old programs, and functions of libc that are not for programs --- */

static void *resolver_library(void)
{
    void *handle = dlopen("libresolv.so.2", RTLD_NOW);
    way_need("dlopen", handle ? 0 : -1);
    return handle;
}

static void name_res_gethostbyname(void)
{
    struct hostent *(*old)(const char *) =
        way_function(resolver_library(), "res_gethostbyname", "GLIBC_2.2.5");
    look_up_end("res_gethostbyname", old(target.name) != NULL);
}

static void name_res_gethostbyname2(void)
{
    struct hostent *(*old)(const char *, int) =
        way_function(resolver_library(), "res_gethostbyname2", "GLIBC_2.2.5");
    look_up_end("res_gethostbyname2", old(target.name, AF_INET6) != NULL);
}

static void name_res_gethostbyaddr(void)
{
    struct hostent *(*old)(const void *, socklen_t, int) =
        way_function(resolver_library(), "res_gethostbyaddr", "GLIBC_2.2.5");
    look_up_end("res_gethostbyaddr", old(&target.v4.sin_addr, 4, AF_INET) != NULL);
}

static void name_nss_dns(void)
{
    int (*look_up)(const char *, struct hostent *, char *, size_t, int *, int *) =
        way_function(RTLD_DEFAULT, "_nss_dns_gethostbyname_r", NULL);
    struct hostent entry;
    char buffer[2048];
    int error, h_error;
    look_up_end("_nss_dns_gethostbyname_r",
                look_up(target.name, &entry, buffer, sizeof buffer, &error, &h_error) == 1);
}

/* The resolver in a thread of its own. */
static void *look_up_in_thread(void *unused)
{
    (void)unused;
    name_gethostbyname();
    return NULL;
}

static void name_in_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, look_up_in_thread, NULL);
    pthread_join(thread, NULL);
}

const struct way name_ways[] = {
    {"name_getaddrinfo", name_getaddrinfo},
    {"name_getaddrinfo_canonical", name_getaddrinfo_canonical},
    {"name_getaddrinfo_short", name_getaddrinfo_short},
    {"name_getaddrinfo_dot", name_getaddrinfo_dot},
    {"name_getaddrinfo_idn", name_getaddrinfo_idn},
    {"name_getaddrinfo_a", name_getaddrinfo_a},
    {"name_gethostbyname", name_gethostbyname},
    {"name_gethostbyname2", name_gethostbyname2},
    {"name_gethostbyname_r", name_gethostbyname_r},
    {"name_hexadecimal", name_hexadecimal},
    {"name_hexadecimal_number", name_hexadecimal_number},
    {"name_hexadecimal_addrinfo", name_hexadecimal_addrinfo},
    {"name_gethostbyaddr", name_gethostbyaddr},
    {"name_gethostbyaddr6", name_gethostbyaddr6},
    {"name_getnameinfo", name_getnameinfo},
    {"name_getnetbyname", name_getnetbyname},
    {"name_getnetbyname_r", name_getnetbyname_r},
    {"name_getnetbyaddr", name_getnetbyaddr},
    {"name_gethostid", name_gethostid},
    {"name_gethostid_own", name_gethostid_own},
    {"name_ruserok", name_ruserok},
    {"name_ruserok_af", name_ruserok_af},
    {"name_res_query", name_res_query},
    {"name_res_search", name_res_search},
    {"name_res_querydomain", name_res_querydomain},
    {"name_res_send", name_res_send},
    {"name_res_nsend", name_res_nsend},
    {"name_res_tcp", name_res_tcp},
    {"name_res_nsearch", name_res_nsearch},
    {"name_res_gethostbyname", name_res_gethostbyname},
    {"name_res_gethostbyname2", name_res_gethostbyname2},
    {"name_res_gethostbyaddr", name_res_gethostbyaddr},
    {"name_nss_dns", name_nss_dns},
    {"name_in_thread", name_in_thread},
    {0},
};

/* Prints everything but the addresses that the resolver's functions return for the given names: families, types,
 * order, ports, names. The output must be the same bare and covered; the caller compares it. */
#include "app.h"
#include <arpa/nameser.h>
#include <locale.h>
#include <netdb.h>
#include <resolv.h>

static void print_list(const char *what, int r, struct addrinfo *const *at)
{
    struct addrinfo *list = *at;
    printf("%s: %s", what, r ? gai_strerror(r) : "ok");
    for (struct addrinfo *ai = r ? NULL : list; ai; ai = ai->ai_next) {
        const struct sockaddr_in *sa = (const struct sockaddr_in *)(const void *)ai->ai_addr;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)ai->ai_addr;
        printf(" [%s %d %d port %d len %u flags %#x%s%s%s]", ai->ai_family == AF_INET ? "v4" : "v6",
               ai->ai_socktype, ai->ai_protocol, ntohs(sa->sin_port), (unsigned)ai->ai_addrlen,
               (unsigned)ai->ai_flags,
               ai->ai_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) ? " mapped" : "",
               ai->ai_canonname ? " " : "", ai->ai_canonname ? ai->ai_canonname : "");
        CHECK(ai->ai_family == sa->sin_family);
    }
    printf("\n");
    if (r == 0)
        freeaddrinfo(list);
}

static void print_addrinfo(const char *name)
{
    static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX};
    static const int flags[] = {0, AI_CANONNAME, AI_V4MAPPED, AI_V4MAPPED | AI_ALL, AI_NUMERICSERV,
                                AI_NUMERICHOST, AI_PASSIVE, AI_ADDRCONFIG, 0x10000,
                                AI_IDN, AI_IDN | AI_NUMERICHOST, AI_CANONNAME | AI_CANONIDN,
                                AI_IDN | AI_CANONNAME, AI_IDN | AI_CANONIDN | AI_CANONNAME};
    static const char *const services[] = {NULL, "80", "http", "domain", "no-such-service", "99999"};
    static const int types[] = {0, SOCK_STREAM, SOCK_DGRAM, 77};
    struct addrinfo *list = NULL;
    char what[200];
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (size_t g = 0; g < sizeof flags / sizeof *flags; g++)
            for (size_t s = 0; s < sizeof services / sizeof *services; s++)
                for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
                    struct addrinfo hints = {.ai_family = families[f],
                                             .ai_flags = flags[g],
                                             .ai_socktype = types[t]};
                    snprintf(what, sizeof(what), "%s family %d flags %#x service %s type %d", name,
                             families[f], (unsigned)flags[g], services[s] ? services[s] : "-",
                             types[t]);
                    print_list(what, getaddrinfo(name, services[s], &hints, &list), &list);
                }
    print_list("no hints", getaddrinfo(name, "80", NULL, &list), &list);
    print_list("nothing", getaddrinfo(NULL, NULL, NULL, &list), &list);
    print_list("no node", getaddrinfo(NULL, "80", NULL, &list), &list);
}

static void print_host(const char *what, int r, const struct hostent *he, int herr)
{
    printf("%s: %d", what, r);
    if (he) {
        int aliases = 0, addresses = 0;
        while (he->h_aliases[aliases])
            aliases++;
        while (he->h_addr_list[addresses])
            addresses++;
        printf(" %s type %d length %d, %d aliases, %d addresses", he->h_name, he->h_addrtype,
               he->h_length, aliases, addresses);
    } else {
        printf(" %s", hstrerror(herr));
    }
    printf("\n");
}

static void print_hosts(const char *name)
{
    struct hostent room, *he = NULL;
    char buf[2048];
    int herr = 0, r;
    he = gethostbyname(name);
    print_host("gethostbyname", 0, he, h_errno);
    he = gethostbyname2(name, AF_INET6);
    print_host("gethostbyname2", 0, he, h_errno);
    r = gethostbyname_r(name, &room, buf, sizeof(buf), &he, &herr);
    print_host("gethostbyname_r", r, he, herr);
    r = gethostbyname2_r(name, AF_INET6, &room, buf, sizeof(buf), &he, &herr);
    print_host("gethostbyname2_r", r, he, herr);
    r = gethostbyname_r(name, &room, buf, 8, &he, &herr);
    print_host("gethostbyname_r without room", r, he, herr);
}

static void print_async(const char *name)
{
    struct gaicb one = {.ar_name = name, .ar_service = "80"}, two = {.ar_name = "127.0.0.1"};
    struct gaicb *list[] = {&one, NULL, &two};
    CHECK(getaddrinfo_a(GAI_WAIT, list, 3, NULL) == 0);
    print_list("getaddrinfo_a", gai_error(&one), &one.ar_result);
    print_list("getaddrinfo_a of a literal", gai_error(&two), &two.ar_result);
    CHECK(getaddrinfo_a(GAI_NOWAIT, list, 1, NULL) == 0);
    while (gai_error(&one) == EAI_INPROGRESS)
        gai_suspend((const struct gaicb *const *)list, 1, NULL);
    print_list("getaddrinfo_a later", gai_error(&one), &one.ar_result);
}

static void print_queries(const char *name)
{
    static const int types[] = {ns_t_a, ns_t_mx, ns_t_txt};
    unsigned char answer[4096];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        ns_msg msg;
        int n = res_query(name, ns_c_in, types[i], answer, sizeof(answer));
        printf("res_query type %d: ", types[i]);
        if (n < 0)
            printf("%s\n", hstrerror(h_errno));
        else if (ns_initparse(answer, n, &msg) == 0)
            printf("rcode %d, %d answers\n", ns_msg_getflag(msg, ns_f_rcode),
                   ns_msg_count(msg, ns_s_an));
    }
}

/* Looks up the name of the first address of NAME, with buffers of several sizes. */
static void print_reverse(const char *name)
{
    static const socklen_t rooms[] = {200, 22, 21, 15, 14, 1};
    struct addrinfo hints = {.ai_flags = AI_IDN, .ai_socktype = SOCK_STREAM}, *list = NULL;
    char host[200];
    if (getaddrinfo(name, NULL, &hints, &list))
        return;
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        for (int idn = 0; idn < 2; idn++) {
            int r = getnameinfo(list->ai_addr, list->ai_addrlen, host, rooms[i], NULL, 0,
                                (idn ? NI_IDN : 0) | NI_NAMEREQD);
            printf("getnameinfo %d %u: %s\n", idn, rooms[i], r ? gai_strerror(r) : host);
        }
    freeaddrinfo(list);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    for (int i = 1; i < argc; i++) {
        print_addrinfo(argv[i]);
        print_hosts(argv[i]);
        print_async(argv[i]);
        if (strstr(argv[i], "cher.example")) /* names with a PTR record */
            print_reverse(argv[i]);
        if (strstr(argv[i], "example")) /* names that the name server has, not the hosts file */
            print_queries(argv[i]);
    }
    return 0;
}

/* The built-in DNS server for programs with a resolver of their own. It answers queries to port 53 where the rules
 * route them through a proxy server, or where the DNS server is on loopback and no rule covers it. A, AAAA and PTR
 * queries are answered from the fake addresses. Other types are forwarded over TCP, through the proxy. Nothing is
 * sent directly to the DNS server. */
#ifndef S5_DNS_ANSWER_H
#define S5_DNS_ANSWER_H
#include "names.h"

#define S5_DNS_PORT      53
#define S5_DNS_REPLY_UDP 4096  /* most octets of a reply over UDP */
#define S5_DNS_REPLY_TCP 16384 /* most octets of a reply over TCP */
#define S5_DNS_TIMEOUT   5     /* seconds; to connect for a forwarded query, and to receive its reply */

/* Writes the reply to QUERY, LEN octets, to RET, which has SIZE octets. SERVER is the DNS server that the program
 * queries; NULL: one of resolv.conf. STREAM: over TCP, so the reply may be long. Waits while a query is forwarded.
 * Returns the length of the reply; 0: there is no reply to send; or -errno. Preserves errno. */
ssize_t s5_dns_answer_query(struct s5_engine *e, const uint8_t *query, size_t len, const struct s5_endpoint *server,
                            bool stream, uint8_t *ret, size_t size);

/* Returns true if queries to TO, by PROTOCOL S5_PROTO_UDP or S5_PROTO_TCP, are answered here. */
bool s5_dns_answer_is_ours(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol);

/* Returns true if libc's resolver may query NAME directly: a rule makes the name direct, or names are resolved
 * locally. */
bool s5_dns_answer_is_direct(struct s5_engine *e, const char *name);

#endif

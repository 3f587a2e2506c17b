/* The name server that programs with a resolver of their own talk to: where the rules lead port 53
 * to a server, or nowhere in particular (loopback), their questions are answered here. A, AAAA and
 * PTR come from the stand-ins, other types are asked over TCP, through the server. Nothing is sent
 * to the name server itself. */
#ifndef S5_DNS_ANSWER_H
#define S5_DNS_ANSWER_H
#include "names.h"

#define S5_DNS_PORT      53
#define S5_DNS_REPLY_UDP 4096  /* octets of a reply over UDP at the most */
#define S5_DNS_REPLY_TCP 16384 /* and over TCP */
#define S5_DNS_TIMEOUT   5     /* a forwarded question may take to connect; then to be told */

/* The reply to QUERY of LEN octets, into RET: its length; 0: nothing to reply to; -errno. SERVER:
 * whom the program asks, NULL for one of resolv.conf's. STREAM: over TCP, so that it may be long.
 * May wait while a question is forwarded. */
ssize_t s5_dns_answer_query(struct s5_engine *e, const uint8_t *query, size_t len, const struct s5_endpoint *server,
                            bool stream, uint8_t *ret, size_t size);

/* Whether questions sent to TO (by S5_PROTO_UDP or S5_PROTO_TCP) are answered here. */
bool s5_dns_answer_is_ours(struct s5_engine *e, const struct s5_addr *to, uint8_t protocol);

/* libc's resolver may ask about NAME by itself: a rule makes it direct, or all names are resolved
 * here. */
bool s5_dns_answer_is_direct(struct s5_engine *e, const char *name);

#endif

/* DNS messages (RFC 1035), as far as a stand-in for a name server needs them: one question in, an
 * answer of at most one record out. Octets alone, and hostile ones at that. */
#ifndef S5_DNS_H
#define S5_DNS_H

#include "addr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S5_DNS_HEADER    12
#define S5_DNS_QUERY_MAX 4096 /* octets of a query that are looked at */
#define S5_DNS_UDP_MAX   512  /* of an answer over UDP, unless the query allows more */
#define S5_DNS_TTL       60   /* seconds an answer of ours may be kept */

enum s5_dns_type {
    S5_DNS_A = 1,
    S5_DNS_PTR = 12,
    S5_DNS_AAAA = 28,
    S5_DNS_OPT = 41,
    S5_DNS_ANY = 255,
};
#define S5_DNS_IN 1 /* the class of all there is */

enum s5_dns_rcode {
    S5_DNS_NOERROR = 0,
    S5_DNS_FORMERR = 1,
    S5_DNS_SERVFAIL = 2,
    S5_DNS_NXDOMAIN = 3,
    S5_DNS_NOTIMP = 4,
    S5_DNS_REFUSED = 5,
};

struct s5_dns_query {
    struct s5_addr name; /* S5_ADDR_NAME, without a dot at its end; S5_ADDR_NONE: the root, or a
                          * name with octets that no host's name has */
    uint16_t id, type, class;
    uint16_t end;  /* offset behind the question */
    uint16_t room; /* octets its sender takes over UDP */
    bool edns;     /* it has an OPT record */
};

/* MSG of LEN octets. 0, or -EINVAL: nothing one answers (a response, no header, no opcode QUERY
 * of one question, a name that is none). */
int s5_dns_read(const uint8_t *msg, size_t len, struct s5_dns_query *ret);

/* The answer with RCODE to the query MSG that was read into Q: a record of Q's type (ANY: of type
 * A) with DATA of LEN octets (NULL: none), into RET of SIZE octets. Its length, 0 if it does not
 * fit. */
size_t s5_dns_answer(const uint8_t *msg, const struct s5_dns_query *q, enum s5_dns_rcode rcode, const void *data,
                     size_t len, uint8_t *ret, size_t size);

/* The same, empty and marked as cut: the question shall be asked over TCP. */
size_t s5_dns_cut(const uint8_t *msg, const struct s5_dns_query *q, uint8_t *ret, size_t size);

/* A query for NAME into RET of SIZE octets. Its length, or -EINVAL: no name, or one whose labels
 * are not 1 to 63 octets; -ENOSPC. */
int s5_dns_ask(const char *name, uint16_t type, uint16_t class, uint16_t id, uint8_t *ret, size_t size);

/* NAME's octets as labels, behind them the root's, into RET. Their length, or -EINVAL. */
int s5_dns_labels(const char *name, size_t len, uint8_t ret[static 256]);

/* The address NAME asks for under in-addr.arpa and ip6.arpa; false when it is whole for neither. */
bool s5_dns_reverse(const struct s5_addr *name, struct s5_addr *ret);

#endif

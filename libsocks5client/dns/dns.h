/* DNS messages (RFC 1035), as far as the built-in DNS server needs them: a query with one question, and an answer
 * with at most one record. The code calls no system function. Its input may be hostile. */
#ifndef S5_DNS_H
#define S5_DNS_H

#include "addr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S5_DNS_HEADER    12   /* octets */
#define S5_DNS_QUERY_MAX 4096 /* most octets of a query */
#define S5_DNS_UDP_MAX   512  /* most octets of an answer over UDP, unless the query allows more */
#define S5_DNS_TTL       60   /* seconds; time to live of our answers */

enum s5_dns_type {
    S5_DNS_A = 1,
    S5_DNS_PTR = 12,
    S5_DNS_AAAA = 28,
    S5_DNS_OPT = 41,
    S5_DNS_ANY = 255,
};
#define S5_DNS_IN 1 /* the class Internet */

enum s5_dns_rcode {
    S5_DNS_NOERROR = 0,
    S5_DNS_FORMERR = 1,
    S5_DNS_SERVFAIL = 2,
    S5_DNS_NXDOMAIN = 3,
    S5_DNS_NOTIMP = 4,
    S5_DNS_REFUSED = 5,
};

struct s5_dns_query {
    struct s5_addr name; /* S5_ADDR_NAME, without a dot at its end; S5_ADDR_NONE: the root, or a name with octets that
                          * are invalid in a host name */
    uint16_t id, type, class;
    uint16_t end;      /* offset of the end of the question */
    uint16_t capacity; /* most octets of an answer that the sender accepts over UDP */
    bool edns;         /* it has an OPT record */
};

/* Parses the query MSG of LEN octets into RET. Returns 0, or -EINVAL: the message is not to be answered (a response, no
 * complete header, another opcode than QUERY, not exactly one question, an invalid name, or too long). */
int s5_dns_read(const uint8_t *msg, size_t len, struct s5_dns_query *ret);

/* Writes the answer with RCODE to the query MSG, which was parsed into Q, to RET, which has SIZE octets. It has a
 * record of the type of Q (type A for ANY) with DATA of LEN octets, or no record where DATA is NULL. Returns the
 * length, or 0: it does not fit. */
size_t s5_dns_answer(const uint8_t *msg, const struct s5_dns_query *q, enum s5_dns_rcode rcode, const void *data,
                     size_t len, uint8_t *ret, size_t size);

/* The same, without a record and with the TC flag, so that the client repeats the query over TCP. */
size_t s5_dns_cut(const uint8_t *msg, const struct s5_dns_query *q, uint8_t *ret, size_t size);

/* Writes a query for NAME to RET, which has SIZE octets. Returns its length; -EINVAL: NAME is invalid, for example a
 * label is not 1 to 63 octets; or -ENOSPC. */
int s5_dns_ask(const char *name, uint16_t type, uint16_t class, uint16_t id, uint8_t *ret, size_t size);

/* Writes NAME, LEN octets, as labels to RET, including the label of the root. Returns their length, or -EINVAL. */
int s5_dns_labels(const char *name, size_t len, uint8_t ret[static 256]);

/* Parses NAME under in-addr.arpa or ip6.arpa into the address RET. Returns false if it is not a complete address. */
bool s5_dns_reverse(const struct s5_addr *name, struct s5_addr *ret);

#endif

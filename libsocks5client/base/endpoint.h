/* A socket address of family AF_INET or AF_INET6. */
#ifndef S5_ENDPOINT_H
#define S5_ENDPOINT_H

#include "addr.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct s5_endpoint {
    uint32_t len; /* octets; 0: none */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

/* The port of an address of either family, in host byte order: both families have it at the same offset. */
static inline uint16_t s5_endpoint_port(const struct sockaddr *sa)
{
    return ntohs(((const struct sockaddr_in *)sa)->sin_port);
}
static inline void s5_endpoint_set_port(struct sockaddr *sa, uint16_t port)
{
    ((struct sockaddr_in *)sa)->sin_port = htons(port);
}

/* Whether A and B have the same family, address and port. */
bool s5_endpoint_is_same(const struct s5_endpoint *a, const struct s5_endpoint *b);
/* Whether the address is 0.0.0.0 or ::. */
bool s5_endpoint_is_unspecified(const struct s5_endpoint *at);

/* Sets RET to ADDRESS of FAMILY, 4 or 16 octets, and PORT, both in network byte order. */
void s5_endpoint_from_octets(struct s5_endpoint *ret, int family, const void *address, uint16_t port);

/* Returns 127.0.0.1 or ::1 with PORT, in host byte order. */
struct s5_endpoint s5_endpoint_loopback(int family, uint16_t port);

/* Sets RET to ADDR for a socket of FAMILY. Returns 0 or -EAFNOSUPPORT. */
int s5_endpoint_of(const struct s5_addr *addr, int family, struct s5_endpoint *ret);

/* Writes WHAT to the program's ADDR as the kernel does: the address is cut to *LEN octets, and *LEN is set to its
 * full length. Returns 0, -EINVAL or -EFAULT. */
int s5_endpoint_tell(const struct s5_endpoint *what, struct sockaddr *addr, socklen_t *len);

#endif

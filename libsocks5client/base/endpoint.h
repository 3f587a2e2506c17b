/* A socket address of the two families there are here. */
#ifndef S5_ENDPOINT_H
#define S5_ENDPOINT_H

#include "addr.h"
#include <netinet/in.h>
#include <stdint.h>

struct s5_endpoint {
    uint32_t len; /* octets; 0: none */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

/* ADDR for a socket of FAMILY. 0, or -EAFNOSUPPORT. */
int s5_endpoint_of(const struct s5_addr *addr, int family, struct s5_endpoint *ret);

/* WHAT into the program's ADDR as by the kernel: cut to *LEN, the full length told. 0, -EINVAL, -EFAULT. */
int s5_endpoint_tell(const struct s5_endpoint *what, struct sockaddr *addr, socklen_t *len);

#endif

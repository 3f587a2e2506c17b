/* The companion of a process tree: a process outside of the fence that does what needs calls which the fence refuses.
 * A process within the fence gets a socket to it by a system call that the filter knows (fence/filter.h), so neither an
 * inherited descriptor nor a path is needed. One request and one reply are sent on it (SOCK_SEQPACKET). */
#ifndef S5_COMPANION_REQUEST_H
#define S5_COMPANION_REQUEST_H

#include "addr.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum s5_companion_service {
    S5_COMPANION_ADDRESSES, /* getaddrinfo() of the name in DATA. Reply: struct s5_companion_addresses */
    S5_COMPANION_NAME,      /* getnameinfo() of the address in DATA. Reply: struct s5_companion_name */
    S5_COMPANION_MESSAGE,   /* res_send() of the DNS message in DATA. Reply: the message */
    S5_COMPANION_BRIDGE,    /* starts socks5-bridge. Reply: struct s5_companion_bridge */
    S5_COMPANION_GATEWAY,   /* starts a gateway for the network namespace of the caller, whose calls pass from then on.
                             * Reply: int32_t, 0 or -errno; the channel stays, as the socket to the gateway */
    S5_COMPANION_SERVICES
};

#define S5_COMPANION_DATA 1024 /* octets, at most */
struct s5_companion_request {
    uint32_t service; /* enum s5_companion_service */
    int32_t family;   /* AF_*: of the addresses wanted, or of the address in DATA */
    int32_t flags;    /* AI_* or NI_* */
    uint32_t size;    /* octets of DATA */
    char data[S5_COMPANION_DATA]; /* a name ends with NUL, which counts */
};

#define S5_COMPANION_LIST 32
struct s5_companion_addresses {
    int32_t result; /* 0 or EAI_* */
    int32_t error;  /* errno, with EAI_SYSTEM */
    uint32_t n;
    char canonical[S5_ADDR_NAME_MAX + 1]; /* "": none */
    struct {
        uint8_t kind; /* S5_ADDR_IPV4 or S5_ADDR_IPV6 */
        uint8_t octets[16];
        uint32_t scope;
    } list[S5_COMPANION_LIST];
};

struct s5_companion_name {
    int32_t result;
    char name[S5_ADDR_NAME_MAX + 1];
};

struct s5_companion_bridge {
    int32_t pid; /* or -errno */
};

/* Sends REQUEST, of which DATA counts as far as REQUEST->size says, and stores the reply in the SIZE octets of REPLY.
 * Returns the number of octets of the reply, or -errno: there is no companion, or it did not answer. Waits for as long
 * as the resolver does. To be called in a section of s5_in_engine_begin(). Preserves errno. */
ssize_t s5_companion_request_send(const struct s5_companion_request *request, void *reply, size_t size);

/* The name of the address OCTETS of FAMILY, by the companion's getnameinfo() with FLAGS. Returns 0 or EAI_*. */
int s5_companion_request_name(const void *octets, int family, int flags, struct s5_companion_name *ret);

/* res_send() of the QUERY of LEN octets by the companion. Returns the length of the reply, or -errno. */
ssize_t s5_companion_request_message(const void *query, size_t len, void *reply, size_t size);

/* getaddrinfo() of NODE by the companion, with FAMILY and FLAGS of its hints. Returns 0 or EAI_*; RET is bounded. With
 * EAI_SYSTEM errno is set. */
int s5_companion_request_look_up(const char *node, int family, int flags, struct s5_companion_addresses *ret);

#endif

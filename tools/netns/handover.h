/* What the launcher of a namespace (tools/reach) and its gateway (tools/gateway) say to each other, on a socket of type
 * SOCK_SEQPACKET: one request and one reply at a time. */
#ifndef TOOLS_HANDOVER_H
#define TOOLS_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum handover_kind {
    HANDOVER_BEGIN,  /* a new namespace, with all descriptors but those that are missing; the reply has none */
    HANDOVER_JOIN,   /* asks for the namespaces: the reply has NETNS, and USERNS where there is one */
    HANDOVER_MARKER, /* a further command has joined; with MARKER */
    HANDOVER_REPLY
};

/* Descriptors of the namespace. */
enum handover_fd {
    HANDOVER_QUEUE,  /* netlink socket for the NFQUEUE */
    HANDOVER_DIAG,   /* netlink socket for sock_diag */
    HANDOVER_OWNERS, /* another one, for single questions */
    HANDOVER_TCP4,   /* transparent listeners */
    HANDOVER_TCP6,
    HANDOVER_UDP4, /* transparent sockets that tell the destination */
    HANDOVER_UDP6,
    HANDOVER_RAW4, /* raw sockets for UDP, which may send from any address */
    HANDOVER_RAW6,
    HANDOVER_ICMP4, /* raw sockets for ICMP */
    HANDOVER_ICMP6,
    HANDOVER_AGENT,     /* a socket to the agent, which connects within the namespace; missing: nothing is forwarded */
    HANDOVER_MARKER_FD, /* a directory that is unmounted when the last process has left the command's mount namespace */
    HANDOVER_USERNS,    /* missing: no user namespace was made */
    HANDOVER_NETNS,
    HANDOVER_SHM, /* the shared state of the tree, and its policy */
    HANDOVER_POLICY,
    HANDOVER_FDS
};

/* Bits of FLAGS. */
#define HANDOVER_LOOPBACK_OUT 1u /* loopback connections without a listener inside lead to the host's services */
#define HANDOVER_LOOPBACK_IN  2u /* listeners inside on loopback are reachable from the host's */
#define HANDOVER_STRICT       4u

struct handover {
    uint32_t kind;
    int32_t error; /* of a reply: 0 or -errno */
    uint32_t flags;
    uint32_t present;                /* bits by enum handover_fd: which descriptors follow, in this order */
    uint64_t cookie;                 /* of the network namespace (SO_NETNS_COOKIE) */
    int32_t pid;                     /* of the command, as it sees itself */
    uint64_t stderr_dev, stderr_ino; /* its standard error; 0: none */
    int fds[HANDOVER_FDS];           /* in this process; -1: missing */
};

/* Sets all descriptors of H to -1. */
void handover_clear(struct handover *h, enum handover_kind kind);
/* Closes the descriptors of H. */
void handover_close(struct handover *h);

/* Sends H. Its descriptors stay open here. Returns 0, or -errno. */
int handover_send(int channel, struct handover *h);

/* Receives a message. The descriptors in RET belong to the caller, and are closed by exec. Returns 0; -ECONNRESET: the
 * other side has ended; -EPROTO: this is no message; or -errno of recvmsg(). */
int handover_receive(int channel, struct handover *ret);

/* The address of the gateway of the tree with ID for the user UID: an abstract UNIX socket of the network namespace
 * outside. Returns the length. */
struct sockaddr_un;
unsigned handover_address(struct sockaddr_un *ret, const uint64_t id[2], uid_t uid);

/* Whether the other end of the socket FD belongs to this process's user. */
bool handover_is_own_user(int fd);

#endif

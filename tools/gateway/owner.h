/* The programs that own the sockets of the namespace, for log lines and for isolation by process. */
#ifndef TOOLS_OWNER_H
#define TOOLS_OWNER_H

#include "endpoint.h"
#include "engine.h"
#include "handover.h"
#include "ports.h"

struct owner {
    int32_t pid; /* 0: not known */
    char program[16];
    uint64_t process; /* a number for the process, which no other process has */
};

/* What the engine asks about others. */
extern const struct s5_engine_others owner_others;

/* Begins to look for owners, if the policy or the log needs them. Takes the socket of H for it. */
void owner_begin(struct s5_engine *e, struct handover *h);

/* Finds the owner of the socket in the namespace that has FROM and sends to TO. PROTOCOL is IPPROTO_TCP or IPPROTO_UDP.
 * All zero if none is needed or none is found. */
void owner_find(struct owner *ret, int protocol, const struct s5_endpoint *from, const struct s5_endpoint *to);

/* ports_list() with the socket of the owners. */
int owner_list_ports(struct ports *ret, int protocol);

/* The calling thread acts for OWNER from now on, which stays valid; NULL: for nobody. */
void owner_act_for(const struct owner *owner);

/* The socket outside FD is used for OWNER, until owner_forget(): log lines about its negotiation name OWNER. */
void owner_remember(int fd, const struct owner *owner, uint64_t *ret_cookie);
void owner_forget(uint64_t cookie);

#endif

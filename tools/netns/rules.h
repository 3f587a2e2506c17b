/* The nftables rules of a namespace: which packets wait for a verdict, and which go to the transparent sockets. */
#ifndef TOOLS_RULES_H
#define TOOLS_RULES_H

#include <stdbool.h>
#include <stdint.h>

#define RULES_QUEUE 0 /* the NFQUEUE of packets that wait for a verdict */
#define RULES_PORT  1 /* of the transparent sockets, on 127.0.0.1 and ::1 */

/* The namespace's own addresses. Packets to them stay in it. */
#define RULES_OWN4 "192.0.0.2"
#define RULES_OWN6 "fd53:5c5f::2"

/* The name server in the namespace's resolv.conf, for one on loopback: the gateway asks that one. */
#define RULES_DNS4 "192.0.0.53"

/* The mark in the verdict on a SYN: the kernel answers it with a reset. */
#define RULES_MARK_RESET 1

struct rules_options {
    bool ipv6;     /* the kernel has IPv6 */
    bool loopback; /* loopback addresses that nobody in the namespace listens on lead outside */
};

/* Installs the rules in this network namespace in one transaction. Returns 0, or -errno: the kernel refused them. */
int rules_install(const struct rules_options *options);

#endif

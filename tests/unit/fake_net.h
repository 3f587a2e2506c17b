/* A kernel's network in memory, as a table of real calls (struct s5_calls) with time that is virtual.
 *
 * It has stream sockets and one server that they can reach, which a script plays; datagram sockets and
 * the relay they send to; epoll instances, timers and the UNIX socket that descriptors travel in.
 * Nothing happens by itself: the network moves by one step when a call waits, and where there is
 * nothing to move, time jumps to the next timer or time-out. A wait without an end is a failure.
 *
 * Link with -Wl,--wrap=clock_gettime,--wrap=nanosleep. What the kernel does beyond this (ports that are
 * taken, routes, signals, forks) is left to the tests end to end. */
#ifndef FAKE_NET_H
#define FAKE_NET_H

#include "system_calls.h"
#include "clock.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_SERVER4 "10.88.2.1"
#define FAKE_PORT    1080
#define FAKE_FIRST   40 /* the lowest descriptor; real ones of the process are below or high above */

/* One connection to the server, as the server has it. */
struct fake_peer {
    bool used;
    bool ended;          /* the client closed, reset, or shut down its side */
    uint8_t heard[1024]; /* all that the client wrote */
    size_t n_heard, n_taken;
    int stage; /* the script's own three */
    long left;
    void *user;
    int sock; /* index of the client's socket; -1: it is gone */
};

/* What becomes of a connection attempt. */
enum fake_dial {
    FAKE_ACCEPT,
    FAKE_REFUSE,      /* a reset answers it */
    FAKE_UNREACHABLE, /* an ICMP error answers it */
    FAKE_NO_ROUTE,    /* connect() itself fails */
    FAKE_SILENCE,     /* nothing does */
};

/* How octets travel. CUT_IN, CUT_OUT: a step of the network ends behind this octet of what the server
 * says, or of what the client writes; 0: nowhere. EACH: behind every octet, both ways. EAGER: what the
 * server says is there at once, not with the next step. APART: an end comes a step after the octets
 * before it. */
struct fake_manner {
    size_t cut_in, cut_out;
    bool each, eager, apart;
};

struct fake_datagram {
    struct sockaddr_in to;
    uint8_t octets[256];
    size_t n;
};

struct fake_net {
    uint64_t now; /* ns */
    enum fake_dial dial;
    struct fake_manner manner;
    void (*script)(struct fake_peer *p); /* called when a client connected, wrote or ended */
    void *user;                          /* of the next peers */
    unsigned dialled;                    /* attempts to reach the server */
    unsigned strays;                     /* and anybody else */
    unsigned waits;                      /* steps that were waited for */
    unsigned n_peers;
    struct fake_peer peers[64];
    unsigned n_datagrams; /* datagrams that left, the latest one last */
    struct fake_datagram datagram;
    struct sockaddr_in relay; /* what it gets, it sends back */
};

extern struct fake_net fake_net;
extern const struct s5_calls fake_calls;

/* Everything as at the machine's start, but for time, which goes on by a minute. */
void fake_reset(void);
/* Descriptors that are open. */
int fake_open(void);
/* Sockets, epoll instances and timers that are there, through a descriptor or a message. */
int fake_alive(void);

/* --- for programs, beside the table --- */
int fake_socket(int family, int type);
int fake_epoll(void);

/* --- for scripts --- */
/* N octets that the client wrote and that no earlier call took; NULL: they are not there yet. */
const uint8_t *fake_take(struct fake_peer *p, size_t n);
const uint8_t *fake_look(const struct fake_peer *p, size_t n); /* the same, and they stay */
void fake_say(struct fake_peer *p, const void *octets, size_t n);
void fake_half_close(struct fake_peer *p);
/* The whole connection: what the client has written and nobody took makes it a reset. */
void fake_close(struct fake_peer *p);
void fake_rst(struct fake_peer *p);

#endif

/* A kernel's network in memory, as a table of real calls (struct s5_calls) with virtual time.
 *
 * It has stream sockets and one server that they can reach, which is played by a script; datagram sockets and the
 * relay that they send to; epoll instances, timers and the UNIX socket that carries descriptors. The network
 * moves by one step when a call waits. If there is nothing to move, time jumps to the next timer or time-out. A
 * wait that cannot end is a failure.
 *
 * Link with -Wl,--wrap=clock_gettime,--wrap=nanosleep. Other behaviour of the kernel (ports in use, routes,
 * signals, forks) is left to the end-to-end tests. */
#ifndef FAKE_NET_H
#define FAKE_NET_H

#include "system_calls.h"
#include "clock.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_SERVER4 "10.88.2.1"
#define FAKE_PORT    1080
#define FAKE_FIRST   40 /* the lowest descriptor; the process's real ones are lower or much higher */

/* One connection to the server, as seen by the server. */
struct fake_peer {
    bool used;
    bool ended;          /* the client closed, reset, or shut down its side */
    uint8_t heard[1024]; /* all octets that the client wrote */
    size_t n_heard, n_taken;
    int stage; /* these three are for the script */
    long left;
    void *user;
    int sock; /* index of the client's socket; -1: it no longer exists */
};

/* The result of a connection attempt. */
enum fake_dial {
    FAKE_ACCEPT,
    FAKE_REFUSE,      /* answered with a reset */
    FAKE_UNREACHABLE, /* answered with an ICMP error */
    FAKE_NO_ROUTE,    /* connect() itself fails */
    FAKE_SILENCE,     /* not answered */
};

/* How octets are delivered. CUT_IN and CUT_OUT: a step of the network ends after so many octets from the server
 * or from the client; 0: nowhere. EACH: a step ends after every octet, in both directions. EAGER: octets from the
 * server are delivered at once, not in the next step. APART: the end of the stream is delivered one step after
 * its last octets. */
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
    void (*script)(struct fake_peer *p); /* called when a client has connected, written or ended */
    void *user;                          /* the USER of the next peers */
    unsigned dialled;                    /* attempts to reach the server */
    unsigned strays;                     /* attempts to reach anything else */
    unsigned waits;                      /* steps made because a call waited */
    unsigned n_peers;
    struct fake_peer peers[64];
    unsigned n_datagrams; /* number of datagrams that were sent; DATAGRAM is the last one */
    struct fake_datagram datagram;
    struct sockaddr_in relay; /* sends back what it receives */
};

extern struct fake_net fake_net;
extern const struct s5_calls fake_calls;

/* Resets everything to the initial state, except the time, which advances by a minute. */
void fake_reset(void);
/* Returns the number of open descriptors. */
int fake_open(void);
/* Returns the number of sockets, epoll instances and timers that exist, through a descriptor or a message. */
int fake_alive(void);

/* --- for programs, in addition to the table --- */
int fake_socket(int family, int type);
int fake_epoll(void);

/* --- for scripts --- */
/* Returns N octets that the client wrote and that no earlier call took. NULL: they have not arrived yet. */
const uint8_t *fake_take(struct fake_peer *p, size_t n);
const uint8_t *fake_look(const struct fake_peer *p, size_t n); /* the same without taking them */
void fake_say(struct fake_peer *p, const void *octets, size_t n);
void fake_half_close(struct fake_peer *p);
/* Closes the whole connection. If octets of the client have not been taken, it is reset. */
void fake_close(struct fake_peer *p);
void fake_rst(struct fake_peer *p);

#endif

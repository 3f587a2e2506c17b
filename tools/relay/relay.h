/* Octets between two streams, both ways: the client, a program on this machine, and the server. */
#ifndef TOOLS_RELAY_H
#define TOOLS_RELAY_H

#include "block.h"
#include "loop.h"
#include <stddef.h>

struct relay;

/* How octets on the stream to the server are protected. A message has at most S5_GSS_MESSAGE_MAX octets. */
struct relay_seal {
    /* Wraps OCTETS, N of them and at most R->most, into RET of SIZE octets. Returns the length, or -errno, logged. */
    int (*wrap)(struct relay *r, const uint8_t *octets, size_t n, uint8_t *ret, size_t size);
    /* The length of the message that begins with the N octets at OCTETS. 0: not known yet; -errno, logged: it is no
     * message. */
    int (*measure)(struct relay *r, const uint8_t *octets, size_t n);
    /* Unwraps the message of LEN octets at OCTETS in place. Returns the length, or -errno, logged. */
    int (*unwrap)(struct relay *r, uint8_t *octets, size_t len);
    /* Logs that the stream has ended within a message. */
    void (*torn)(struct relay *r);
};

struct relay {
    struct watch client, server;
    const struct relay_seal *seal;              /* NULL: nothing is protected */
    void (*ended)(struct relay *r, bool reset); /* called once; may free R by loop_dispose() only */
    uint32_t most;                              /* octets of one message at most; without a seal: of one read */
    bool client_gone;                           /* the client sent a reset, or sending to it failed */
    bool server_deaf;                           /* sending to the server failed */
    bool up_ended, up_shut;                     /* the client's end of file: received, forwarded */
    bool down_ended, down_shut;                 /* the server's end of file: received, forwarded */
    bool closing;                               /* the client is gone; the octets it wrote are still on their way */
    bool late;                                  /* CLOSING: octets have come for the client that is gone */
    int64_t deadline;                           /* ms; of CLOSING */
    struct block *up;   /* octets for the server that wait */
    struct block *down; /* AT..AT+PLAIN waits for the client; RAW_AT..LEN follows it and is still sealed */
    uint32_t down_plain, down_raw_at;
};

#define RELAY_OF(watch, member) ((struct relay *)((char *)(watch)-offsetof(struct relay, member)))

/* Begins to relay between R->client and R->server, whose descriptors are open. SURPLUS, N octets, came from the server
 * already, EARLY, M octets, from the client. */
void relay_begin(struct relay *r, const void *surplus, size_t n, const void *early, size_t m);

/* Ends R, which is CLOSING, if its deadline has passed and all octets for the server are sent. */
void relay_check_closing(struct relay *r);

/* Closes both streams and releases the buffers of R. RESET: with a reset on both sides. */
void relay_close(struct relay *r, bool reset);

/* Buffers for any use within one event. */
extern uint8_t scratch_in[S5_GSS_MESSAGE_MAX], scratch_out[S5_GSS_MESSAGE_MAX];

#endif

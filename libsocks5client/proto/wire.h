/* The messages of RFC 1928 and RFC 1929 as octets: one function writes a message, one reads it.
 *
 * Readers return 0 if the message was read from R; -EAGAIN if R contains its beginning and all of it is valid so
 * far; -EPROTO as soon as an octet is invalid. R cannot be used after either failure. */
#ifndef S5_WIRE_H
#define S5_WIRE_H

#include "addr.h"
#include "bytes.h"
#include <stddef.h>
#include <stdint.h>

#define S5_WIRE_VER          5    /* of every message of RFC 1928 */
#define S5_WIRE_USERPASS_VER 1    /* of both messages of RFC 1929 */
#define S5_WIRE_NO_METHOD    0xff /* "no acceptable methods" */

/* ATYP of RFC 1928 section 5. */
enum s5_wire_atyp { S5_WIRE_IPV4 = 1, S5_WIRE_NAME = 3, S5_WIRE_IPV6 = 4 };

#define S5_WIRE_SELECTION_LEN 2
#define S5_WIRE_STATUS_LEN    2
#define S5_WIRE_REPLY_MIN     7 /* VER REP RSV ATYP, a name without octets, port */

void s5_wire_write_greeting(struct s5_writer *w, const uint8_t *methods, uint8_t n_methods);

/* RFC 1929: username and password have 1..255 octets each and are not NUL-terminated. */
void s5_wire_write_userpass(struct s5_writer *w, const char *username, uint8_t username_len, const char *password,
                            uint8_t password_len);

/* Writes ATYP, address and port. S5_ADDR_NONE is written as 0.0.0.0. */
void s5_wire_write_address(struct s5_writer *w, const struct s5_addr *addr);

void s5_wire_write_request(struct s5_writer *w, uint8_t command, const struct s5_addr *dst);

int s5_wire_read_selection(struct s5_reader *r, uint8_t *ret_method);

/* RET_VER is 1, or 5 from servers that send the wrong version of the two. */
int s5_wire_read_status(struct s5_reader *r, uint8_t *ret_ver, uint8_t *ret_status);

/* A name without octets is S5_ADDR_NONE with its port. A name that contains a NUL is -EPROTO. */
int s5_wire_read_address(struct s5_reader *r, struct s5_addr *ret);

/* A request has the same layout, with CMD in place of REP. */
int s5_wire_read_reply(struct s5_reader *r, uint8_t *ret_rep, struct s5_addr *ret_bound);

/* The least octets of the reply that begins with these N; its exact length once its ATYP (and the length of its
 * name) are among them. -EPROTO for a wrong VER or ATYP. No other octet is checked. */
int s5_wire_reply_len(const uint8_t *reply, size_t n);

/* Reads a whole reply; LEN is the result of s5_wire_reply_len() for it. Returns 0, or -EPROTO with nothing stored
 * if a name contains a NUL. */
int s5_wire_take_reply(const uint8_t *reply, size_t len, uint8_t *ret_rep, struct s5_addr *ret_bound);

#endif

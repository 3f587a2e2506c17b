/* The messages of RFC 1928 and RFC 1929 as octets: one function writes a message, one reads it.
 *
 * Readers return 0 with the message taken from R; -EAGAIN when R holds its beginning and all of it
 * is as expected so far; -EPROTO as soon as it is not. R is spent after either failure. */
#ifndef S5_WIRE_H
#define S5_WIRE_H

#include "addr.h"
#include "bytes.h"
#include <stddef.h>
#include <stdint.h>

#define S5_WIRE_VER          5    /* of every message of RFC 1928 */
#define S5_WIRE_USERPASS_VER 1    /* of RFC 1929's two */
#define S5_WIRE_NO_METHOD    0xff /* "no acceptable methods" */

/* ATYP of RFC 1928 section 5. */
enum s5_wire_atyp { S5_WIRE_IPV4 = 1, S5_WIRE_NAME = 3, S5_WIRE_IPV6 = 4 };

#define S5_WIRE_SELECTION_LEN 2
#define S5_WIRE_STATUS_LEN    2
#define S5_WIRE_REPLY_MIN     7 /* VER REP RSV ATYP, a name without octets, port */

void s5_wire_write_greeting(struct s5_writer *w, const uint8_t *methods, uint8_t n_methods);

/* RFC 1929: both words are 1..255 octets, not NUL-terminated. */
void s5_wire_write_userpass(struct s5_writer *w, const char *username, uint8_t username_len, const char *password,
                            uint8_t password_len);

/* ATYP, address and port; S5_ADDR_NONE is written as 0.0.0.0. */
void s5_wire_write_address(struct s5_writer *w, const struct s5_addr *addr);

void s5_wire_write_request(struct s5_writer *w, uint8_t command, const struct s5_addr *dst);

int s5_wire_read_selection(struct s5_reader *r, uint8_t *ret_method);

/* RET_VER is 1, or 5 from servers that take the wrong one of their two versions. */
int s5_wire_read_status(struct s5_reader *r, uint8_t *ret_ver, uint8_t *ret_status);

/* A name without octets is S5_ADDR_NONE with its port; one with a NUL inside is -EPROTO. */
int s5_wire_read_address(struct s5_reader *r, struct s5_addr *ret);

/* A request has the same layout, CMD in the place of REP. */
int s5_wire_read_reply(struct s5_reader *r, uint8_t *ret_rep, struct s5_addr *ret_bound);

/* The octets the reply that begins with these N takes at least, and exactly once its ATYP (and
 * its name's length) are among them; -EPROTO for a wrong VER or ATYP. Looks at no more than that.
 */
int s5_wire_reply_len(const uint8_t *reply, size_t n);

/* A whole reply, LEN being what s5_wire_reply_len said of it. 0, or -EPROTO with nothing returned
 * for a name with a NUL inside. */
int s5_wire_take_reply(const uint8_t *reply, size_t len, uint8_t *ret_rep, struct s5_addr *ret_bound);

#endif

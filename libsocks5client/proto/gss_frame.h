/* The messages of RFC 1961 as octets: VER=01 MTYP LEN(2) TOKEN[LEN], or VER MTYP alone for an abort. */
#ifndef S5_GSS_FRAME_H
#define S5_GSS_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define S5_GSS_HEAD        4     /* octets before a token */
#define S5_GSS_TOKEN_MAX   65535 /* octets of the longest token that LEN can express */
#define S5_GSS_MESSAGE_MAX (S5_GSS_HEAD + S5_GSS_TOKEN_MAX)

enum s5_gss_mtyp {
    S5_GSS_CONTEXT = 1,  /* a token of context establishment */
    S5_GSS_LEVEL = 2,    /* one octet, wrapped: the protection level */
    S5_GSS_DATA = 3,     /* all later messages: octets of the stream, or a whole datagram */
    S5_GSS_ABORT = 0xff, /* from the server only, without LEN and TOKEN */
};

/* The length of the message that begins with the N octets at AT, header included, if a message of MTYP is awaited.
 * The length may exceed N. Returns 0 if the octets are too few to determine it and valid so far; -EPROTO if they
 * cannot be that message, or its token is empty; -EACCES for an abort. */
int s5_gss_frame_len(const uint8_t *at, size_t n, enum s5_gss_mtyp mtyp);

/* Writes the header of an MTYP message with a token of LEN octets (1..S5_GSS_TOKEN_MAX). */
void s5_gss_frame_head(uint8_t at[static S5_GSS_HEAD], enum s5_gss_mtyp mtyp, size_t len);

#endif

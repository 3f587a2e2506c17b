/* The messages of RFC 1961 as octets: VER=01 MTYP LEN(2) TOKEN[LEN], or VER MTYP alone to abort. */
#ifndef S5_GSS_FRAME_H
#define S5_GSS_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define S5_GSS_HEAD        4     /* octets ahead of a token */
#define S5_GSS_TOKEN_MAX   65535 /* octets of a token, as LEN can say */
#define S5_GSS_MESSAGE_MAX (S5_GSS_HEAD + S5_GSS_TOKEN_MAX)

enum s5_gss_mtyp {
    S5_GSS_CONTEXT = 1,  /* a token of the context's establishment */
    S5_GSS_LEVEL = 2,    /* one octet, wrapped: the protection level */
    S5_GSS_DATA = 3,     /* everything after: octets of the stream, or a whole datagram */
    S5_GSS_ABORT = 0xff, /* from the server alone, without LEN and TOKEN */
};

/* What the N octets at AT begin with, an MTYP message being awaited: its length, head included,
 * once that can be told from them (it may be more than N); 0 when they are too few to tell, all
 * right so far; -EPROTO when it cannot be that message, or its token is empty; -EACCES: an abort. */
int s5_gss_frame_len(const uint8_t *at, size_t n, enum s5_gss_mtyp mtyp);

/* The head of an MTYP message with a token of LEN octets (1..S5_GSS_TOKEN_MAX). */
void s5_gss_frame_head(uint8_t at[static S5_GSS_HEAD], enum s5_gss_mtyp mtyp, size_t len);

#endif

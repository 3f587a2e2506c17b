/* Each octet is checked as soon as it arrives: a message that cannot become valid fails without waiting for the
 * rest. */
#include "gss_frame.h"
#include <errno.h>

#define VER 1

int s5_gss_frame_len(const uint8_t *at, size_t n, enum s5_gss_mtyp mtyp)
{
    if (n > 0 && at[0] != VER)
        return -EPROTO;
    if (n > 1 && at[1] != mtyp)
        return at[1] == S5_GSS_ABORT ? -EACCES : -EPROTO;
    if (n < S5_GSS_HEAD)
        return 0;
    int len = at[2] << 8 | at[3];
    return len ? S5_GSS_HEAD + len : -EPROTO;
}

void s5_gss_frame_head(uint8_t at[static S5_GSS_HEAD], enum s5_gss_mtyp mtyp, size_t len)
{
    at[0] = VER;
    at[1] = (uint8_t)mtyp;
    at[2] = (uint8_t)(len >> 8);
    at[3] = (uint8_t)len;
}

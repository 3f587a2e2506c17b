/* The structures of the public session and seal, for the files of api/. */
#ifndef S5_PUBLIC_SESSION_H
#define S5_PUBLIC_SESSION_H

#include "gss.h"
#include "gss_link.h"

struct socks5_session {
    bool started;
    struct s5_gss_link machine;     /* undefined until started */
    struct s5_gss_setup gssapi;     /* provider NULL: not offered */
    struct s5_gss *gss;             /* owned; NULL: none, or the seal owns it */
    struct s5_gss_buffers *buffers; /* owned; buffers of GSSAPI; NULL: none */
};

struct socks5_seal {
    struct s5_seal seal;
    struct s5_gss *gss; /* owned */
};

#endif

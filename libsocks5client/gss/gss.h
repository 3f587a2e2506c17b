/* The system's GSSAPI with Kerberos as a provider for proto/seal.h. Its library is loaded when the first context is
 * created and stays loaded. Calls may query name servers and the KDC, and block: for an event loop,
 * s5_gss_prepare() must be called in a child process first. */
#ifndef S5_GSS_H
#define S5_GSS_H

#include "seal.h"

#define S5_GSS_WHY       400 /* octets of a fault's text with its NUL */
#define S5_GSS_PRINCIPAL 512

struct s5_gss;

/* The peer to authenticate to. */
struct s5_gss_target {
    const char *service;   /* "rcmd" */
    const char *host;      /* a name, canonicalized as Kerberos is configured, or a literal */
    const char *principal; /* "rcmd/host.example@REALM" if known already, else NULL */
    bool delegate;         /* delegate the credentials */
};

struct s5_gss_fault {
    char text[S5_GSS_WHY]; /* for users: the GSSAPI messages, major and minor, and the remedy */
};

/* s5_gss_new(): creates a context, to be established with TARGET by the user's default credentials. Returns 0 and
 * *RET, to be freed by s5_gss_free(); -ENOSYS: the system has no GSSAPI; -EACCES; -ENOMEM. FAULT contains the
 * reason of a failure. */
int s5_gss_new(struct s5_gss **ret, const struct s5_gss_target *target, struct s5_gss_fault *fault);
void s5_gss_free(struct s5_gss *gss);

/* Gets the ticket that a context with TARGET will need into the user's credential cache. Returns 0, the principal
 * of TARGET and the lifetime in seconds, or fails like s5_gss_new(). May block for long. */
int s5_gss_prepare(const struct s5_gss_target *target, char principal[S5_GSS_PRINCIPAL], unsigned *ret_seconds,
                   struct s5_gss_fault *fault);

/* The provider of contexts made by s5_gss_new(), which are its CONTEXT. */
extern const struct s5_gss_provider s5_gss_provider;

/* The reason why the provider's last call on GSS failed; "" if none has failed. */
const char *s5_gss_why(const struct s5_gss *gss);

#endif

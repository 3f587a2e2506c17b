/* The machine's own GSSAPI with its Kerberos, as a provider of proto/seal.h. Its library is loaded
 * when the first context is made and stays. Calls may ask name servers and the KDC, and block: an
 * event loop has s5_gss_prepare() called in a child beforehand. */
#ifndef S5_GSS_H
#define S5_GSS_H

#include "seal.h"

#define S5_GSS_WHY       400 /* octets of a fault's text, NUL included */
#define S5_GSS_PRINCIPAL 512

struct s5_gss;

/* Whom to authenticate to. */
struct s5_gss_target {
    const char *service;   /* "rcmd" */
    const char *host;      /* a name, made canonical as Kerberos is configured to, or a literal */
    const char *principal; /* where known already: "rcmd/host.example@REALM"; else NULL */
    bool delegate;         /* hand the credentials on */
};

struct s5_gss_fault {
    char text[S5_GSS_WHY]; /* for a person: what GSSAPI says, major and minor, and what to do */
};

/* A context to be established with TARGET by the user's default credentials. 0; -ENOSYS: the
 * machine has no GSSAPI; -EACCES, -ENOMEM; FAULT says why. */
int s5_gss_new(struct s5_gss **ret, const struct s5_gss_target *target, struct s5_gss_fault *fault);
void s5_gss_free(struct s5_gss *gss);

/* Fetch the ticket a context with TARGET will need into the user's cache. 0, with the principal
 * that TARGET comes to and the seconds it is good for; else as s5_gss_new. May block for long. */
int s5_gss_prepare(const struct s5_gss_target *target, char principal[S5_GSS_PRINCIPAL], unsigned *ret_seconds,
                   struct s5_gss_fault *fault);

/* The provider of contexts made by s5_gss_new, which are its CONTEXT. */
extern const struct s5_gss_provider s5_gss_provider;

/* Why the provider's last call on it failed; "" before one did. */
const char *s5_gss_why(const struct s5_gss *gss);

#endif

/* Names that are not ASCII, for callers that say so (AI_IDN, AI_CANONIDN, NI_IDN), as libc has them. */
#ifndef S5_IDN_H
#define S5_IDN_H

/* NAME, in the locale's encoding, as it is asked for: allocated, or NULL into *RET where it is ASCII
 * and stays. 0, or EAI_IDN_ENCODE (no such name, or libidn2 is not there), EAI_MEMORY. */
int s5_idn_encode(const char *name, char **ret);

/* The other way round, NULL likewise; a name that has no form in this locale stays, too. 0, or
 * EAI_MEMORY. */
int s5_idn_decode(const char *name, char **ret);

#endif

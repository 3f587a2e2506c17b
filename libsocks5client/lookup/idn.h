/* Names that are not ASCII, for callers that ask for them (AI_IDN, AI_CANONIDN, NI_IDN), as in libc. */
#ifndef S5_IDN_H
#define S5_IDN_H

/* Encodes NAME, in the locale's encoding, for a look-up. *RET: allocated, or NULL where NAME is ASCII and remains as it
 * is. 0; EAI_IDN_ENCODE: not a valid name, or libidn2 is missing; EAI_MEMORY. */
int s5_idn_encode(const char *name, char **ret);

/* Decodes NAME to the locale's encoding. *RET: as above; also NULL where the name has no form in this locale. 0 or
 * EAI_MEMORY. */
int s5_idn_decode(const char *name, char **ret);

#endif

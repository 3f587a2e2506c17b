/* Names and their fake addresses. A name that the proxy resolves gets an IPv4 and an IPv6 address of ranges that are
 * not used otherwise. Calls that get a fake address use the name in its place. The mapping is the same in the whole
 * process tree. */
#ifndef S5_NAMES_H
#define S5_NAMES_H

#include "engine.h"

enum s5_names_answer_kind {
    S5_NAMES_LIBC, /* libc resolves it: a literal, a name of the hosts file, or a name whose route is direct */
    S5_NAMES_OURS, /* v4 and v6 are the answer: fake addresses, or loopback for localhost */
};

struct s5_names_answer {
    enum s5_names_answer_kind kind;
    bool queries;                     /* with S5_NAMES_LIBC: libc would ask a name server, directly */
    uint8_t v4[4], v6[16];            /* network byte order; valid if kind is S5_NAMES_OURS */
    char whole[S5_ADDR_NAME_MAX + 1]; /* the name to which a single label was completed; "": it was not completed */
};

/* Looks up NODE for FAMILY (AF_UNSPEC: both). Returns 0 with RET filled in; -EINVAL: not a name (invalid octets,
 * none, or more than 255); -EACCES: denied, logged; -ENOMEM; or the result of a missing policy. Preserves errno. */
int s5_names_look_up(struct s5_engine *e, const char *node, int family, struct s5_names_answer *ret);

/* The same for NAME in a DNS question, which is not completed. */
int s5_names_question(struct s5_engine *e, const char *name, int family, struct s5_names_answer *ret);
/* Returns the full name of NODE, whose lookup gave ANSWER. */
static inline const char *s5_names_whole(const struct s5_names_answer *answer, const char *node)
{
    return answer->whole[0] ? answer->whole : node;
}

/* Replaces ADDR by its name if ADDR is a fake address; its port is kept. Returns 1 if ADDR was replaced, 0 if it is not
 * a fake address, -EHOSTUNREACH (logged) if it is in the range but has no name. */
int s5_names_of(struct s5_engine *e, struct s5_addr *addr);
/* The same, but nothing is logged. */
int s5_names_find(struct s5_engine *e, struct s5_addr *addr);

/* Stores in RET the fake address of NAME for a socket of FAMILY. Returns 0; -EINVAL: NAME is not a valid name;
 * -EACCES or another -errno: no policy; or -ENOMEM. */
int s5_names_fake_address(struct s5_engine *e, const struct s5_addr *name, int family, struct s5_endpoint *ret);

/* Detaches the pool of COPY, a copy of the shared state that no other process uses yet. Its names keep their
 * numbers. New names get numbers that differ from those that the shared state assigns from now on, as far as that is
 * possible. */
void s5_names_detach(struct s5_engine *e, struct s5_shm *copy);

#endif

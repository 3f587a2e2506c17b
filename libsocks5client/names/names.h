/* Names and their stand-ins: a name that shall be resolved on the far side is given an address of
 * a range nobody else uses, an IPv4 and an IPv6 one, and whoever meets that address takes it for
 * the name again. The same in the whole process tree. */
#ifndef S5_NAMES_H
#define S5_NAMES_H

#include "engine.h"

enum s5_names_answer_kind {
    S5_NAMES_LIBC, /* ask libc: a literal, the hosts file, or a name that goes direct */
    S5_NAMES_OURS, /* v4 and v6 are the answer: stand-ins, or loopback for localhost */
};

struct s5_names_answer {
    enum s5_names_answer_kind kind;
    uint8_t v4[4], v6[16];            /* network byte order; where kind is S5_NAMES_OURS */
    char whole[S5_ADDR_NAME_MAX + 1]; /* what a single word was completed to; "": it was not */
};

/* What a look-up of NODE for FAMILY (AF_UNSPEC: both) comes to. 0, or -EINVAL: no name (octets no
 * name has, 0 or more than 255 of them); -EACCES: denied, logged; -ENOMEM. */
int s5_names_look_up(struct s5_engine *e, const char *node, int family, struct s5_names_answer *ret);

/* The same for a name in a question to a name server, which is whole. */
int s5_names_question(struct s5_engine *e, const char *name, int family, struct s5_names_answer *ret);
/* What NODE is called where ANSWER is what it came to. */
static inline const char *s5_names_whole(const struct s5_names_answer *answer, const char *node)
{
    return answer->whole[0] ? answer->whole : node;
}

/* ADDR, a stand-in, becomes its name, the port staying. 1 when it did, 0 when it is no stand-in,
 * -EHOSTUNREACH (logged) where it is in the range and stands for nothing. */
int s5_names_of(struct s5_engine *e, struct s5_addr *addr);
/* The same for those who only want to know: nothing is logged. */
int s5_names_tell(struct s5_engine *e, struct s5_addr *addr);

/* The stand-in for NAME on a socket of FAMILY. 0, or -EINVAL (not a name a stand-in can be had
 * for), -EACCES (no policy), -ENOMEM. */
int s5_names_fake_address(struct s5_engine *e, const struct s5_addr *name, int family, struct sockaddr_storage *ret,
                          socklen_t *ret_len);

/* COPY, of the tree, which nobody else knows yet: its names have the numbers they had, and others have other numbers
 * than the tree gives from now on, as far as that is possible. */
void s5_names_part(struct s5_engine *e, struct s5_shm *copy);

#endif

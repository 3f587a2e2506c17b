/* Programs that the preload object cannot cover, or that the policy runs in a network namespace: tools/reach starts
 * them. */
#ifndef S5_PRELOAD_REACH_H
#define S5_PRELOAD_REACH_H

#include "program.h"
#include "real.h"

#define S5_REACH_PATH 512

/* How a program is started. */
struct s5_reach_plan {
    bool apart; /* by socks5-reach */
    bool bare;  /* in a namespace, without LD_PRELOAD */
    bool plain; /* it is socks5-reach, which a socksify in this tree starts: it gets its environment as it is */
    const struct s5_policy *policy;
    char launcher[S5_REACH_PATH]; /* socks5-reach */
};

/* Decides how FILE is started, whose check gave RESULT (0: covered; 1: not covered) and REPORT, and fills in RET.
 * Returns 0, or -EACCES: it must not be started. */
int s5_reach_decide(struct s5_engine *e, const char *file, int result, const struct s5_program_report *report,
                    struct s5_reach_plan *ret);

/* The number of words for socks5-reach, NULL included, where ARGV are those of the program; 0: they cannot be read. */
size_t s5_reach_count(char *const argv[]);
/* Writes them to WORDS. */
void s5_reach_fill(char **words, const struct s5_reach_plan *plan, const char *file, char *const argv[]);

#endif

/* What is known of each server's pipelining, shared by the tree and kept in a file by socksify. */
#ifndef S5_STANDING_H
#define S5_STANDING_H

#include <stdint.h>

struct s5_tree;
struct s5_policy;
struct s5_server;

enum s5_standing_value {
    S5_STANDING_UNKNOWN = 0,
    S5_STANDING_GOOD, /* a pipelined negotiation succeeded */
    S5_STANDING_BAD,  /* a pipelined one failed and then a step-by-step one succeeded */
};

/* One number for a server's host and port; never 0. */
uint64_t s5_standing_key(const struct s5_policy *p, const struct s5_server *server);

enum s5_standing_value s5_standing_get(const struct s5_tree *tree, uint64_t key);

/* Remember, and add a line to the tree's file where it has one. */
void s5_standing_set(struct s5_tree *tree, uint64_t key, enum s5_standing_value value);

/* Read DIRECTORY/standing (made when missing, mode 0700) into TREE, forgetting what is older than
 * a week, and name it as the file to keep. Failure is silent: it costs a round trip, no more. */
void s5_standing_open(struct s5_tree *tree, const char *directory);

#endif

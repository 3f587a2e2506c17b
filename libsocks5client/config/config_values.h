/* The keys of a configuration file and their valid values. */
#ifndef S5_CONFIG_VALUES_H
#define S5_CONFIG_VALUES_H

#include "policy.h"

#define S5_CONFIG_KEYS     40  /* number of keys of all sections */
#define S5_CONFIG_TOP_KEYS 11  /* of these: outside all sections; they are the last ones */
#define S5_CONFIG_WHY      400 /* size of the text of a fault */

/* Returns the index of KEY, which must be a known key. The last S5_CONFIG_TOP_KEYS keys are outside sections. */
int s5_config_key(const char *key);

/* Checks VALUE for KEY. The pools of P are used during the check and restored. Returns 0, or -EINVAL with WHY, which
 * may quote VALUE. */
int s5_config_check(struct s5_policy *p, const char *key, const char *value, char why[S5_CONFIG_WHY]);

/* Returns the index of VALUE among the words that KEY accepts: the number of a method, enum s5_pipeline, the protection
 * level, or the bit number of S5_PROTO_*, S5_CMD_* or S5_ISOLATE_*. -EINVAL: not one of these words. */
int s5_config_word(const char *key, const char *value);

/* Returns the number TEXT, which must consist of digits and be from LOW to HIGH, or -EINVAL. */
int s5_config_number(const char *text, int low, int high);

/* Stores ADDRESS in SERVER: a name, a literal (stored without brackets) or a path ("~/" is HOME). Returns 0, or -EINVAL
 * with WHY. */
int s5_config_host(struct s5_policy *p, struct s5_server *server, const char *address, const char *home,
                   char why[S5_CONFIG_WHY]);

#endif

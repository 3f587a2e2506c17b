/* The keys of a configuration file and what their values may be. */
#ifndef S5_CONFIG_VALUES_H
#define S5_CONFIG_VALUES_H

#include "policy.h"

#define S5_CONFIG_KEYS     27 /* of all sections together */
#define S5_CONFIG_TOP_KEYS 4  /* of them: the last ones, outside of every section */
#define S5_CONFIG_WHY      400

/* The place of KEY, which is one of them, among all keys. The last one stands outside sections. */
int s5_config_key(const char *key);

/* Whether VALUE may be KEY's. The pools of P are used for trying and are as before in the end. 0,
 * or -EINVAL and WHY, which may quote VALUE. */
int s5_config_check(struct s5_policy *p, const char *key, const char *value, char why[S5_CONFIG_WHY]);

/* Which of the words that KEY takes VALUE is: a method's number, enum s5_pipeline, the level of
 * protection, or the bit of S5_PROTO_*, S5_CMD_* or S5_ISOLATE_*. -EINVAL for any other. */
int s5_config_word(const char *key, const char *value);

/* Digits alone, LOW to HIGH. The number or -EINVAL. */
int s5_config_number(const char *text, int low, int high);

/* ADDRESS ("~/" being HOME) into SERVER, a literal without brackets. 0, or -EINVAL and WHY. */
int s5_config_host(struct s5_policy *p, struct s5_server *server, const char *address, const char *home,
                   char why[S5_CONFIG_WHY]);

#endif

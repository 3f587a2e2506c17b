/* Rules with several servers. */
#ifndef TOOLS_CHECK_RULES_H
#define TOOLS_CHECK_RULES_H

#include "policy.h"
#include "report.h"

/* Returns the first entry that stands for the same server as INDEX. Such entries differ only in what is isolated. */
unsigned check_rules_first(const struct s5_policy *policy, unsigned index);

/* Returns true if each rule that uses server INDEX, a result of check_rules_first(), has others, too. */
bool check_rules_is_spare(const struct s5_policy *policy, unsigned index);

/* Reports what earlier runs have learnt of the server INDEX, which is as configured. */
void check_rules_known(struct report *report, const struct s5_policy *policy, unsigned index);

/* Reports each chain, and stores in WORKS whether it can work, as far as is known from here. */
void check_rules_chains(struct report *report, const struct s5_policy *policy, bool works[S5_POLICY_SERVERS]);

/* Reports each rule with several servers. WORKS: whether each server, by the results of check_rules_first(), works. */
void check_rules(struct report *report, const struct s5_policy *policy, const bool works[S5_POLICY_SERVERS]);

#endif

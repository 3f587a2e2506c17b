/* Operations for associations across an exec, and in messages that carry descriptors. */
#ifndef S5_ASSOCIATION_EXEC_H
#define S5_ASSOCIATION_EXEC_H

struct s5_kind;
extern const struct s5_kind s5_association_exec_kind;

#endif

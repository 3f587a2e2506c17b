/* Associations that go through an exec. */
#ifndef S5_ASSOCIATION_EXEC_H
#define S5_ASSOCIATION_EXEC_H

struct s5_kind;
extern const struct s5_kind s5_association_exec_kind;

#endif

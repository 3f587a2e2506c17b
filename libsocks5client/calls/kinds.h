/* The kind of a record. */
#ifndef S5_KINDS_H
#define S5_KINDS_H

#include "kind.h"

/* Returns the kind of RECORD; NULL: none, which has no operations. */
const struct s5_kind *s5_kind_of(const struct s5_record *record);

#endif

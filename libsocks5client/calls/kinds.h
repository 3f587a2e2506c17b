/* The kind of a record. */
#ifndef S5_KINDS_H
#define S5_KINDS_H

#include "kind.h"

/* The kind of what RECORD stands for; NULL: none, for which there is nothing to ask. */
const struct s5_kind *s5_kind_of(const struct s5_record *record);

#endif

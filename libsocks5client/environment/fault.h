/* What is wrong with a configuration. */
#ifndef S5_FAULT_H
#define S5_FAULT_H

#include "format.h"

#define S5_FAULT_MAX 512

/* An error message for the user: "FILE:LINE: WHAT" or "VARIABLE: WHAT". It never contains a secret. */
struct s5_fault {
    char text[S5_FAULT_MAX];
};

/* Formats the text of FAULT as s5_format() does. The value is ERROR. */
#define s5_fault_set(fault, error, ...) (s5_format((fault)->text, sizeof(fault)->text, __VA_ARGS__), (error))

#endif

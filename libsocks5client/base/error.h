/* Short texts for errno values, without locale, malloc or locks (strerror() has all three). */
#ifndef S5_ERROR_H
#define S5_ERROR_H

/* The text of ERROR, a positive or negative errno value: "connection refused" for ECONNREFUSED, and so on for every
 * errno value this project returns; "error" for any other. Static storage. */
const char *s5_error_text(int error);

#endif

/* Short texts for errno values, without locale, malloc or locks (strerror has all three). */
#ifndef S5_ERROR_H
#define S5_ERROR_H

/* ERROR is an errno, positive or negative; "connection refused" for ECONNREFUSED
 * and so on for every errno this project returns; "error" for any other. */
const char *s5_error_text(int error);

#endif

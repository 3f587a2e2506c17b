/* The timeout options of a socket with fields of the width of a long. Every kernel supports these, and so do emulators
 * that do not support the 64-bit options of 32-bit machines. */
#ifndef S5_TIMEO_H
#define S5_TIMEO_H

#include <sys/socket.h>

#define S5_SNDTIMEO SO_SNDTIMEO_OLD
#define S5_RCVTIMEO SO_RCVTIMEO_OLD

struct s5_timeo {
    long tv_sec, tv_usec;
};

#endif

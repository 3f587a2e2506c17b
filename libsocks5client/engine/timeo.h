/* A socket's time-outs as options, in the width of a long: every kernel knows these, and so do emulators that do
 * not know the 64-bit ones of 32-bit machines. */
#ifndef S5_TIMEO_H
#define S5_TIMEO_H

#include <sys/socket.h>

#define S5_SNDTIMEO SO_SNDTIMEO_OLD
#define S5_RCVTIMEO SO_RCVTIMEO_OLD

struct s5_timeo {
    long tv_sec, tv_usec;
};

#endif

/* Monotonic time in nanoseconds, the only clock by which the engine decides. */
#ifndef S5_CLOCK_H
#define S5_CLOCK_H

#include <stdint.h>
#include <time.h>

#define S5_CLOCK_SECOND 1000000000ull
#define S5_CLOCK_NEVER  UINT64_MAX

static inline uint64_t s5_clock_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * S5_CLOCK_SECOND + (uint64_t)ts.tv_nsec;
}

/* The same clock, up to some milliseconds late, at a fraction of the cost. */
static inline uint64_t s5_clock_coarse(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * S5_CLOCK_SECOND + (uint64_t)ts.tv_nsec;
}

/* The wall clock, ms since 1970: for log lines, and for what the next run has to know. */
static inline int64_t s5_clock_wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The time TIMEOUT after NOW. A NULL timeout returns S5_CLOCK_NEVER. */
static inline uint64_t s5_clock_later(uint64_t now, const struct timespec *timeout)
{
    if (!timeout)
        return S5_CLOCK_NEVER;
    if ((uint64_t)timeout->tv_sec > (S5_CLOCK_NEVER - now) / S5_CLOCK_SECOND - 2)
        return S5_CLOCK_NEVER;
    return now + (uint64_t)timeout->tv_sec * S5_CLOCK_SECOND + (uint64_t)timeout->tv_nsec;
}

static inline uint64_t s5_clock_after(const struct timespec *timeout)
{
    return timeout ? s5_clock_later(s5_clock_now(), timeout) : S5_CLOCK_NEVER;
}

/* The time left from NOW until UNTIL as a timeout for ppoll() and similar calls, in RET. Returns RET, or NULL if
 * UNTIL is S5_CLOCK_NEVER. */
static inline const struct timespec *s5_clock_left(uint64_t until, uint64_t now, struct timespec *ret)
{
    if (until == S5_CLOCK_NEVER)
        return NULL;
    uint64_t left = until > now ? until - now : 0;
    ret->tv_sec = (time_t)(left / S5_CLOCK_SECOND);
    ret->tv_nsec = (long)(left % S5_CLOCK_SECOND);
    return ret;
}

#endif

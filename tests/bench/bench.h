/* What the programs of the benchmarks have in common. */
#ifndef BENCH_H
#define BENCH_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #what,                 \
                    strerror(errno));                                                              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline struct sockaddr_in make_address(const char *host, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    CHECK(inet_pton(AF_INET, host, &a.sin_addr) == 1);
    return a;
}

/* Returns the time of CLOCK in microseconds. */
static inline double clock_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}
static inline double now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

/* Prints the rate of N operations since BEGUN, per second, and the processor time in microseconds that this process has
 * used since BEGUN_PROCESSOR. */
static inline void print_rate(double n, double begun, double begun_processor)
{
    printf("%.1f %.1f\n", n / (now_us() - begun) * 1e6,
           clock_us(CLOCK_PROCESS_CPUTIME_ID) - begun_processor);
}

/* With -w a program stops before its measurement and after it: it prints a line and waits, for a line or for the end of
 * its input. So its caller can read what other processes have spent meanwhile. */
static bool stops;

static inline void stop_before(void)
{
    char octet = 0;
    if (!stops)
        return;
    puts("ready");
    fflush(stdout);
    while (octet != '\n' && read(STDIN_FILENO, &octet, 1) == 1)
        ;
}

static inline void stop_after(void)
{
    char octet;
    if (!stops)
        return;
    puts("done");
    fflush(stdout);
    while (read(STDIN_FILENO, &octet, 1) == 1)
        ;
}

#endif

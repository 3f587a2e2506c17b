/* Helpers shared by the ways: small functions by which a program could send a packet past the
 * proxy. Each way makes one attempt to send to a target that contains a number of the test's
 * choice, the token. The test finds the token in the packet. A way prints one word, the call and
 * its errno, and ends with one of the exit statuses below. */
#ifndef WAY_H
#define WAY_H

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum way_status {
    WAY_TRIED = 0, /* the trap knows whether a packet left */
    WAY_UNAVAILABLE =
        2,        /* the kernel, the C library or the user's rights lack what the way needs */
    WAY_LEFT = 3, /* something left, by a path where no trap can be */
};

struct way {
    const char *name;
    void (*run)(void);
};

/* The ways of each file. The last entry has no name. */
extern const struct way connect_ways[], datagram_ways[], write_ways[], instruction_ways[],
    ring_ways[], option_ways[], packet_ways[], family_ways[], name_ways[], rpc_ways[],
    library_ways[], program_ways[], place_ways[], handler_ways[], process_ways[], device_ways[],
    listen_ways[];

/* Where the packet of a way goes to. The third and fourth octet of the IPv4 address, and the last
 * two octets of the IPv6 address, are the token. */
extern struct target {
    unsigned token;
    struct sockaddr_in v4, group4;
    struct sockaddr_in6 v6, mapped, group6;
    char host4[INET_ADDRSTRLEN], host6[INET6_ADDRSTRLEN];
    char name[64]; /* a name that only a DNS server knows */
    char text[32]; /* the octets that are sent */
    size_t length; /* of TEXT, with the terminating zero */
} target;

#define DEVICE "beyond" /* the interface of the default route, whose far end is the trap */

/* Prints CALL with the errno ERROR (0: success) and ends. Safe in signal handlers and in a child of
 * vfork. */
_Noreturn void way_end(const char *call, int error);
/* The same with the RESULT of a function of libc. */
_Noreturn void way_done(const char *call, long result);
_Noreturn void way_unavailable(const char *what);
/* Ends as unavailable if RESULT is negative. */
long way_need(const char *what, long result);
/* The same for a function that may be missing. */
void *way_function(void *handle, const char *name, const char *version);

/* The path of the program NAME of this folder. */
const char *way_program(const char *name);
/* Arguments that run the way NAME of this program with the same token. */
char **way_arguments(const char *name);
/* An environment without LD_PRELOAD. */
extern char *way_empty_environment[];
/* A folder of this way, in the folder WAYS_FOLDER of the test. Callers ask for it before they clear
 * the environment. */
const char *way_folder(void);

/* A system call by the machine's instruction. Returns -errno on failure. */
long way_call(long number, long a, long b, long c, long d, long e, long f);
#define WAY_CALL(number, a, b, c, d, e, f)                                                         \
    way_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* A socket. Ends as unavailable if there is none, except where the system call is refused with
 * EACCES or EPERM. */
int way_socket(int family, int type, int protocol);
/* The same by the machine's instruction. Ends if there is none. */
int way_raw_socket(int family, int type, int protocol);
/* A UDP socket that is made and connected by the machine's instruction. */
int way_connected(int family);
unsigned way_device(void);

#define V4   (const struct sockaddr *)&target.v4, sizeof target.v4
#define V6   (const struct sockaddr *)&target.v6, sizeof target.v6
#define TEXT target.text, target.length

#endif

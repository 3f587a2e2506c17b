/* Machines where libc has some functions in two widths (i386, armhf): under the plain name with a
 * 32-bit time_t or off_t, and under another name with a 64-bit one. The compilation of a program
 * decides which one it calls (_TIME_BITS, _FILE_OFFSET_BITS).
 *
 * Everything here is compiled with 64 bits. The hooks and the rows of system_calls.def have the
 * wide types. They are therefore exported, and looked up in libc, under the wide names. time32.c
 * has the hooks with the plain names, which convert and call the wide ones, as libc's own functions
 * do. Other machines have one width, and nothing of this. */
#ifndef S5_TIME32_H
#define S5_TIME32_H

#include "real.h"
#include <features.h>
#include <time.h>

#define S5_TIME32 (__TIMESIZE == 32)
_Static_assert(sizeof(time_t) == 8 && sizeof(((struct timespec *)0)->tv_sec) == 8,
               "compile with -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64");

/* These macros select a word by its position. S5_WIDE_name is two words where NAME has a wide
 * symbol, and elsewhere one word, not defined. */
#define S5_SECOND(...)          S5_SECOND_OF(__VA_ARGS__)
#define S5_SECOND_OF(a, b, ...) b
#define S5_THIRD(...)           S5_THIRD_OF(__VA_ARGS__)
#define S5_THIRD_OF(a, b, c, ...) c

/* The linker's name of NAME, with the types of this translation unit. */
#define S5_SYMBOL(name) S5_SECOND(S5_WIDE_##name, #name, )

#if S5_TIME32
#define S5_WIDE_ppoll        ~, "__ppoll64"
#define S5_WIDE___ppoll_chk  ~, "__ppoll64_chk"
#define S5_WIDE_select       ~, "__select64"
#define S5_WIDE_pselect      ~, "__pselect64"
#define S5_WIDE_epoll_pwait2 ~, "__epoll_pwait2_time64"
#define S5_WIDE_recvmmsg     ~, "__recvmmsg64"
#define S5_WIDE_sendfile     ~, "sendfile64"
#define S5_WIDE_preadv2      ~, "preadv64v2"
#define S5_WIDE_pwritev2     ~, "pwritev64v2"
#define S5_WIDE_timerfd_settime ~, "__timerfd_settime64"

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/select.h>
#include <sys/socket.h>

struct s5_timespec32 {
    int32_t tv_sec, tv_nsec;
};
struct s5_timeval32 {
    int32_t tv_sec, tv_usec;
};

/* Converts a time-out to the type of the engine; NULL for NULL. */
static inline const struct timespec *s5_timespec_widen(const struct s5_timespec32 *from,
                                                       struct timespec *to)
{
    if (!from)
        return NULL;
    *to = (struct timespec){.tv_sec = from->tv_sec, .tv_nsec = from->tv_nsec};
    return to;
}

/* Hooks of time32.c, for syscall(). */
#define S5_TIME32_HOOK(ret, name, params) ret hook_plain_##name params __asm__(S5_REAL_PREFIX #name)
int hook_wide_fcntl(int fd, int command, ...) __asm__(S5_REAL_PREFIX "__fcntl_time64");
S5_TIME32_HOOK(int, ppoll,
               (struct pollfd * fds, nfds_t n, const struct s5_timespec32 *timeout,
                const sigset_t *mask));
S5_TIME32_HOOK(int, select,
               (int n, fd_set *in, fd_set *out, fd_set *ex, struct s5_timeval32 *timeout));
S5_TIME32_HOOK(int, pselect,
               (int n, fd_set *in, fd_set *out, fd_set *ex, const struct s5_timespec32 *timeout,
                const sigset_t *mask));
S5_TIME32_HOOK(int, recvmmsg,
               (int fd, struct mmsghdr *msgs, unsigned n, int flags,
                struct s5_timespec32 *timeout));
S5_TIME32_HOOK(ssize_t, preadv2, (int fd, const struct iovec *iov, int n, int32_t at, int flags));
S5_TIME32_HOOK(ssize_t, pwritev2, (int fd, const struct iovec *iov, int n, int32_t at, int flags));
S5_TIME32_HOOK(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags));
S5_TIME32_HOOK(ssize_t, sendfile, (int fd, int in, int32_t *at, size_t n));
#endif

#endif

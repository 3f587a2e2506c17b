/* Memory that the arguments of a call point to. A pointer of the program's may be wrong. The kernel answers
 * EFAULT then, so the engine must not touch such memory before it knows that it can.
 *
 * The kernel is asked to copy one octet of a page. A page that it could copy is remembered, so that the
 * question costs a few instructions from then on and no system call. The answer may be out of date for a
 * page that the program has unmapped since. An access to it ends the program, as any access of its own. */
#ifndef S5_USER_MEMORY_H
#define S5_USER_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define S5_USER_PAGE  4096u /* no page is smaller */
#define S5_USER_PAGES 1024u /* remembered at the most */

enum s5_user_access { S5_USER_READ = 1, S5_USER_WRITE = 2 };

/* No memory of any program is there: given to the kernel in the place of a wrong pointer. */
#define S5_USER_NOWHERE ((void *)-(intptr_t)S5_USER_PAGE)

/* The address of a page with its accesses in the last bits; 0: none. A page has one place. */
extern __attribute__((visibility("hidden"))) _Atomic uintptr_t s5_user_pages[S5_USER_PAGES];

/* Whether ACCESS to the page of address AT is known to be allowed. */
static inline bool s5_user_knows(uintptr_t at, uintptr_t access)
{
    uintptr_t page = at & ~(uintptr_t)(S5_USER_PAGE - 1);
    uintptr_t have = atomic_load_explicit(&s5_user_pages[page / S5_USER_PAGE % S5_USER_PAGES], memory_order_relaxed);
    return (have & (~(uintptr_t)(S5_USER_PAGE - 1) | access)) == (page | access);
}

/* s5_user_may() where not all pages are known. */
bool s5_user_ask(const void *at, size_t n, enum s5_user_access access);
/* s5_user_write() where not all pages are known. */
bool s5_user_store(void *to, const void *from, size_t n);

/* Whether ACCESS to the N octets AT is possible. With S5_USER_WRITE the octets must be ones that the call
 * overwrites anyway. Preserves errno. */
static inline bool s5_user_may(const void *at, size_t n, enum s5_user_access access)
{
    uintptr_t first = (uintptr_t)at, last = first + n - 1;
    if (__builtin_expect(n - 1 < S5_USER_PAGE, 1) && __builtin_expect(s5_user_knows(first, access), 1) &&
        __builtin_expect(s5_user_knows(last, access), 1))
        return true;
    return n == 0 || s5_user_ask(at, n, access);
}

/* Copies N octets of the program's, from it or to it. False: EFAULT. Preserves errno. */
static inline bool s5_user_read(void *to, const void *from, size_t n)
{
    if (!s5_user_may(from, n, S5_USER_READ))
        return false;
    if (n)
        memcpy(to, from, n);
    return true;
}
static inline bool s5_user_write(void *to, const void *from, size_t n)
{
    uintptr_t first = (uintptr_t)to, last = first + n - 1;
    if (__builtin_expect(
            n - 1 >= S5_USER_PAGE || !s5_user_knows(first, S5_USER_WRITE) || !s5_user_knows(last, S5_USER_WRITE), 0))
        return n == 0 || s5_user_store(to, from, n);
    memcpy(to, from, n);
    return true;
}

/* A copy of the LEN octets of the address FROM; in TO zeros follow it up to the size of an IPv6 address. 0; -EINVAL:
 * LEN is none of an address; -EFAULT. */
int s5_user_address(struct sockaddr_storage *to, const struct sockaddr *from, socklen_t len);
/* A copy of FROM, whose name is copied into NAME. As the kernel does it, a name of no octets is none and one
 * that is too long is cut. 0, -EINVAL, or -EFAULT. */
int s5_user_message(struct msghdr *to, struct sockaddr_storage *name, const struct msghdr *from);
/* 0 where the list of buffers of M and its control messages can be read, else -errno. */
int s5_user_parts(const struct msghdr *m);
/* The address FROM of SIZE octets into ROOM octets at TO, cut to fit, and SIZE into *LEN. False: EFAULT. */
bool s5_user_tell(const void *from, socklen_t size, struct sockaddr *to, socklen_t room, socklen_t *len);
/* Octets of the string AT before its end, at most MOST; -EFAULT where it cannot be read to there. */
long s5_user_string(const char *at, size_t most);

#endif

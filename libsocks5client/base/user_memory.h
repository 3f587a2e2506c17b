/* Access to memory that the arguments of a call point to. A program's pointer may be invalid. The kernel returns
 * EFAULT then, so the engine must not access such memory before it knows that it can.
 *
 * The check asks the kernel to access one word of the page. A page that could be accessed is remembered: later checks
 * cost a few instructions and no system call. The stored result may be out of date for a page that the program has
 * unmapped since. Access to such a page ends the program, as an access by the program itself would. */
#ifndef S5_USER_MEMORY_H
#define S5_USER_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define S5_USER_PAGE  4096u /* no machine has smaller pages */
#define S5_USER_PAGES 1024u /* at most this many are remembered */

enum s5_user_access { S5_USER_READ = 1, S5_USER_WRITE = 2 };

/* An address that no program's memory has: passed to the kernel in place of an invalid pointer. */
#define S5_USER_NOWHERE ((void *)-(intptr_t)S5_USER_PAGE)

/* One entry per page: the address of the page with its known accesses in the low bits; 0: empty. Each page has one
 * possible entry. */
extern __attribute__((visibility("hidden"))) _Atomic uintptr_t s5_user_pages[S5_USER_PAGES];

/* Whether ACCESS to the page that contains AT is known to be allowed. */
static inline bool s5_user_knows(uintptr_t at, uintptr_t access)
{
    uintptr_t page = at & ~(uintptr_t)(S5_USER_PAGE - 1);
    uintptr_t have = atomic_load_explicit(&s5_user_pages[page / S5_USER_PAGE % S5_USER_PAGES], memory_order_relaxed);
    return (have & (~(uintptr_t)(S5_USER_PAGE - 1) | access)) == (page | access);
}

/* The slow path of s5_user_may(), for pages that are not all known. */
__attribute__((noinline)) bool s5_user_ask(const void *at, size_t n, enum s5_user_access access);

/* Whether ACCESS to the N octets at AT is possible. Preserves errno. */
static inline bool s5_user_may(const void *at, size_t n, enum s5_user_access access)
{
    uintptr_t first = (uintptr_t)at, last = first + n - 1;
    if (__builtin_expect(n - 1 < S5_USER_PAGE, 1) && __builtin_expect(s5_user_knows(first, access), 1) &&
        __builtin_expect(s5_user_knows(last, access), 1))
        return true;
    return n == 0 || s5_user_ask(at, n, access);
}

/* Copy N octets from (read) or to (write) memory of the program. Return false on EFAULT. Preserve errno. */
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
    if (!s5_user_may(to, n, S5_USER_WRITE))
        return false;
    if (n)
        memcpy(to, from, n);
    return true;
}

/* Copies the address FROM of LEN octets to TO and fills TO with zeros up to the size of an IPv6 address. Returns 0,
 * -EINVAL (LEN is not possible for an address) or -EFAULT. */
int s5_user_address(struct sockaddr_storage *to, const struct sockaddr *from, socklen_t len);
/* Copies FROM to TO and its name to NAME. As in the kernel, an empty name is no name and a name that is too long is
 * cut. Returns 0, -EINVAL or -EFAULT. */
int s5_user_message(struct msghdr *to, struct sockaddr_storage *name, const struct msghdr *from);
/* Checks that the list of buffers of M and its control messages can be read. Returns 0 or -errno. */
int s5_user_parts(const struct msghdr *m);
/* Writes the address FROM of SIZE octets to TO, cut to CAPACITY octets, and SIZE to *LEN. Returns false on EFAULT. */
bool s5_user_tell(const void *from, socklen_t size, struct sockaddr *to, socklen_t capacity, socklen_t *len);
/* The length of the string at AT, at most MOST; -EFAULT if it cannot be read that far. */
long s5_user_string(const char *at, size_t most);

#endif

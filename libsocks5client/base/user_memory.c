/* Two operations of futex() access a word of memory and fail with EFAULT where that is not possible. Sandboxes allow
 * futex(), which every program with threads needs, while those of browsers end a process that calls process_vm_readv().
 * Where the operations fail otherwise, all memory is assumed to be accessible. */
#include "user_memory.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define CONTROL_MOST (1u << 20) /* more than any kernel accepts */

_Atomic uintptr_t s5_user_pages[S5_USER_PAGES];

static void store_page(uintptr_t at, uintptr_t access)
{
    uintptr_t page = at & ~(uintptr_t)(S5_USER_PAGE - 1);
    _Atomic uintptr_t *place = &s5_user_pages[page / S5_USER_PAGE % S5_USER_PAGES];
    uintptr_t have = atomic_load_explicit(place, memory_order_relaxed);
    bool same = (have & ~(uintptr_t)(S5_USER_PAGE - 1)) == page;
    atomic_store_explicit(place, page | access | (same ? have : 0), memory_order_relaxed);
}

/* Whether ACCESS to the octet AT is possible. The operations wake no thread that waits and leave the word as it is. */
static bool can_access(uintptr_t at, enum s5_user_access access)
{
    static int unused;
    void *word = (void *)(at & ~(uintptr_t)(sizeof(int) - 1));
    int saved = errno;
    long r = access == S5_USER_READ ? syscall(SYS_futex, word, FUTEX_CMP_REQUEUE_PRIVATE, 0, 0L, word, 0)
                                    : syscall(SYS_futex, &unused, FUTEX_WAKE_OP_PRIVATE, 0, 0L, word,
                                              FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0));
    bool can = r >= 0 || errno != EFAULT;
    errno = saved;
    return can;
}

bool s5_user_ask(const void *at, size_t n, enum s5_user_access access)
{
    uintptr_t first = (uintptr_t)at, last = first + n - 1;
    if (last < first)
        return false;
    for (uintptr_t page = first; page <= last;) {
        if (!s5_user_knows(page, access)) {
            if (!can_access(page, access))
                return false;
            store_page(page, S5_USER_READ | access);
        }
        page = (page & ~(uintptr_t)(S5_USER_PAGE - 1)) + S5_USER_PAGE;
        if (!page) /* that was the last page of the address space */
            break;
    }
    return true;
}

int s5_user_address(struct sockaddr_storage *to, const struct sockaddr *from, socklen_t len)
{
    enum { IPV4 = 16, IPV6 = 28 };
    if (__builtin_expect(len > sizeof *to, 0)) /* includes negative lengths */
        return -EINVAL;
    if (__builtin_expect(!s5_user_may(from, len, S5_USER_READ), 0))
        return -EFAULT;
    if (len == IPV4)
        memcpy(to, from, IPV4);
    else if (len == IPV6)
        memcpy(to, from, IPV6);
    else {
        memset(to, 0, IPV6);
        if (len)
            memcpy(to, from, len);
    }
    return 0;
}

int s5_user_message(struct msghdr *to, struct sockaddr_storage *name, const struct msghdr *from)
{
    if (!s5_user_read(to, from, sizeof *to))
        return -EFAULT;
    if (!to->msg_name || !to->msg_namelen) {
        to->msg_name = NULL;
        to->msg_namelen = 0;
        return 0;
    }
    if ((int)to->msg_namelen < 0)
        return -EINVAL;
    if (to->msg_namelen > sizeof *name)
        to->msg_namelen = sizeof *name;
    int r = s5_user_address(name, to->msg_name, to->msg_namelen);
    to->msg_name = name;
    return r;
}

int s5_user_parts(const struct msghdr *m)
{
    if (m->msg_iovlen > IOV_MAX)
        return -EMSGSIZE;
    if (m->msg_control && m->msg_controllen > CONTROL_MOST)
        return -ENOBUFS;
    if (!s5_user_may(m->msg_iov, m->msg_iovlen * sizeof *m->msg_iov, S5_USER_READ) ||
        (m->msg_control && !s5_user_may(m->msg_control, m->msg_controllen, S5_USER_READ)))
        return -EFAULT;
    return 0;
}

bool s5_user_tell(const void *from, socklen_t size, struct sockaddr *to, socklen_t capacity, socklen_t *len)
{
    return s5_user_write(to, from, capacity < size ? capacity : size) && s5_user_write(len, &size, sizeof size);
}

long s5_user_string(const char *at, size_t most)
{
    size_t have = 0;
    while (have < most) {
        size_t piece = S5_USER_PAGE - (uintptr_t)(at + have) % S5_USER_PAGE;
        piece = piece < most - have ? piece : most - have;
        if (!s5_user_may(at + have, 1, S5_USER_READ))
            return -EFAULT;
        const char *end = memchr(at + have, 0, piece);
        if (end)
            return end - at;
        have += piece;
    }
    return (long)most;
}

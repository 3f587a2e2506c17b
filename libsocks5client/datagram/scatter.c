/* Several buffers as one sequence of octets. A position is found by a walk along the list. The lists are short, and
 * what moves is as long as a header or, where the header has an unexpected length, one datagram. The buffers are the
 * program's: the functions end early where one of them cannot be accessed. */
#include "scatter.h"
#include "user_memory.h"
#include <stdint.h>
#include <string.h>

size_t s5_scatter_size(const struct iovec *iov, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += iov[i].iov_len;
    return size;
}

/* The octet at position AT; NULL: there is none. *LEFT: octets from there to the end of its buffer; *BEFORE: octets
 * before it in its buffer. */
static uint8_t *find_octet(const struct iovec *iov, size_t n, size_t at, size_t *left, size_t *before)
{
    for (size_t i = 0; i < n; i++) {
        if (at < iov[i].iov_len) {
            *left = iov[i].iov_len - at;
            *before = at;
            return (uint8_t *)iov[i].iov_base + at;
        }
        at -= iov[i].iov_len;
    }
    *left = *before = 0;
    return NULL;
}

static size_t get_least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

size_t s5_scatter_gather(const struct iovec *iov, size_t n, void *buf, size_t size)
{
    size_t have = 0;
    for (size_t i = 0; i < n && have < size; i++) {
        size_t part = get_least(iov[i].iov_len, size - have, SIZE_MAX);
        if (!s5_user_read((uint8_t *)buf + have, iov[i].iov_base, part))
            break;
        have += part;
    }
    return have;
}

size_t s5_scatter_put(const struct iovec *iov, size_t n, size_t at, const void *buf, size_t len)
{
    size_t done = 0, left, before;
    while (done < len) {
        uint8_t *to = find_octet(iov, n, at + done, &left, &before);
        if (!to)
            break;
        size_t part = get_least(left, len - done, SIZE_MAX);
        if (!s5_user_write(to, (const uint8_t *)buf + done, part))
            break;
        done += part;
    }
    return done;
}

void s5_scatter_move(const struct iovec *iov, size_t n, size_t to, size_t from, size_t len)
{
    size_t to_left, from_left, to_before, from_before;
    while (len && to < from) { /* from the front */
        uint8_t *t = find_octet(iov, n, to, &to_left, &to_before);
        uint8_t *f = find_octet(iov, n, from, &from_left, &from_before);
        size_t part = get_least(to_left, from_left, len);
        if (!part || !s5_user_may(f, part, S5_USER_READ) || !s5_user_may(t, part, S5_USER_WRITE))
            return;
        memmove(t, f, part);
        to += part, from += part, len -= part;
    }
    while (len && to > from) { /* from the back */
        uint8_t *t = find_octet(iov, n, to + len - 1, &to_left, &to_before);
        uint8_t *f = find_octet(iov, n, from + len - 1, &from_left, &from_before);
        if (!t || !f)
            return;
        size_t part = get_least(to_before + 1, from_before + 1, len);
        if (!s5_user_may(f - (part - 1), part, S5_USER_READ) || !s5_user_may(t - (part - 1), part, S5_USER_WRITE))
            return;
        memmove(t - (part - 1), f - (part - 1), part);
        len -= part;
    }
}

void s5_scatter_move_over(struct mmsghdr *to, const struct mmsghdr *from, bool named)
{
    struct msghdr *t = &to->msg_hdr;
    const struct msghdr *f = &from->msg_hdr;
    size_t done = 0, capacity = s5_scatter_size(t->msg_iov, t->msg_iovlen);
    for (size_t i = 0; i < f->msg_iovlen && done < from->msg_len; i++) {
        size_t part = f->msg_iov[i].iov_len < from->msg_len - done ? f->msg_iov[i].iov_len : from->msg_len - done;
        done += s5_scatter_put(t->msg_iov, t->msg_iovlen, done, f->msg_iov[i].iov_base, part);
    }
    to->msg_len = (unsigned)done;
    t->msg_flags = f->msg_flags | (capacity < from->msg_len ? MSG_TRUNC : 0);
    if (t->msg_name && named) {
        memcpy(t->msg_name, f->msg_name, t->msg_namelen < f->msg_namelen ? t->msg_namelen : f->msg_namelen);
        t->msg_namelen = f->msg_namelen;
    }
    if (t->msg_control && t->msg_controllen >= f->msg_controllen)
        memcpy(t->msg_control, f->msg_control, f->msg_controllen);
    t->msg_controllen = t->msg_control ? f->msg_controllen : 0;
}

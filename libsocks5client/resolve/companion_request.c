#include "companion_request.h"
#include "in_engine.h"
#include "keyed.h"
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Calls the kernel again where a signal that no section blocks has interrupted it. */
static long call_again(long number, int fd, const void *buf, size_t n, int flags)
{
    long r;
    do
        r = syscall(number, (long)fd, (long)buf, (long)n, (long)flags, 0L, 0L);
    while (r < 0 && errno == EINTR);
    return r;
}

ssize_t s5_companion_request_send(const struct s5_companion_request *request, void *reply, size_t size)
{
    int saved = errno, fd = s5_fence() == S5_FENCE_WATCHED ? s5_keyed_call() : -ENOSYS;
    if (fd < 0)
        return fd;
    size_t n = offsetof(struct s5_companion_request, data) + request->size;
    ssize_t got = call_again(SYS_sendto, fd, request, n, MSG_NOSIGNAL) == (ssize_t)n
                      ? call_again(SYS_recvfrom, fd, reply, size, 0)
                      : -1;
    int error = got < 0 ? errno : ECONNRESET;
    syscall(SYS_close, fd);
    errno = saved;
    return got > 0 ? got : -error;
}

static bool is_valid_reply(const struct s5_companion_addresses *a)
{
    if (a->n > S5_COMPANION_LIST || !memchr(a->canonical, 0, sizeof a->canonical))
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (a->list[i].kind != S5_ADDR_IPV4 && a->list[i].kind != S5_ADDR_IPV6)
            return false;
    return a->result != 0 || a->n > 0;
}

/* Sends the request for SERVICE with the N octets DATA, in a section of its own. Returns as
 * s5_companion_request_send(). */
static ssize_t ask_companion(enum s5_companion_service service, int family, int flags, const void *data, size_t n,
                             void *reply, size_t size)
{
    struct s5_companion_request request = {.service = service, .family = family, .flags = flags, .size = (uint32_t)n};
    struct s5_in_engine_section section;
    if (n > sizeof request.data)
        return -EMSGSIZE;
    memcpy(request.data, data, n);
    s5_in_engine_begin(&section);
    ssize_t got = s5_companion_request_send(&request, reply, size);
    s5_in_engine_end(&section);
    return got;
}

int s5_companion_request_look_up(const char *node, int family, int flags, struct s5_companion_addresses *ret)
{
    ssize_t got = ask_companion(S5_COMPANION_ADDRESSES, family, flags, node, strlen(node) + 1, ret, sizeof *ret);
    if (got == -EMSGSIZE)
        return EAI_NONAME;
    if (got != (ssize_t)sizeof *ret || !is_valid_reply(ret))
        return EAI_AGAIN;
    if (ret->result == EAI_SYSTEM)
        errno = ret->error;
    return ret->result;
}

int s5_companion_request_name(const void *octets, int family, int flags, struct s5_companion_name *ret)
{
    size_t n = family == AF_INET ? 4 : 16;
    ssize_t got = ask_companion(S5_COMPANION_NAME, family, flags, octets, n, ret, sizeof *ret);
    return got == (ssize_t)sizeof *ret && memchr(ret->name, 0, sizeof ret->name) ? ret->result : EAI_AGAIN;
}

ssize_t s5_companion_request_message(const void *query, size_t len, void *reply, size_t size)
{
    return ask_companion(S5_COMPANION_MESSAGE, AF_UNSPEC, 0, query, len, reply, size);
}

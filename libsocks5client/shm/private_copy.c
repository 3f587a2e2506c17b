/* Only the written parts of the file are copied, because most of it is a hole. The copy is written by pwrite(), which
 * reports a shortage of memory; a store would end the process then. */
#include "private_copy.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Calls EACH for every written part of FD below SIZE, until a call returns other than 0. Returns that, or 0. */
static int for_each_part(int fd, size_t size, int (*each)(void *user, size_t from, size_t n), void *user)
{
    off_t from = 0, to;
    int r = 0;
    while (r == 0 && (size_t)from < size && (from = lseek(fd, from, SEEK_DATA)) >= 0) {
        to = lseek(fd, from, SEEK_HOLE);
        if (to < from || (size_t)to > size)
            to = (off_t)size;
        r = each(user, (size_t)from, (size_t)(to - from));
        from = to;
    }
    return r;
}

struct copying {
    const char *from;
    char *memory; /* destination; NULL: FD is */
    int fd;
};

static int copy_part(void *user, size_t from, size_t n)
{
    const struct copying *c = user;
    if (c->memory) {
        memcpy(c->memory + from, c->from + from, n);
        return 0;
    }
    while (n) {
        ssize_t written = pwrite(c->fd, c->from + from, n, (off_t)from);
        if (written <= 0)
            return -ENOSPC;
        from += (size_t)written;
        n -= (size_t)written;
    }
    return 0;
}

static void *map_shared(size_t size, int fd)
{
    int flags = MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (at == MAP_FAILED)
        return NULL;
    madvise(at, size, MADV_DONTDUMP);
    return at;
}

static bool copy_to_file(struct s5_private_copy *c, int fd, const void *at)
{
    struct rlimit limit;
    c->fd = memfd_create("socksify", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (c->fd < 0)
        return false;
    struct copying copying = {at, NULL, c->fd};
    /* Beyond RLIMIT_FSIZE a write would raise SIGXFSZ. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= c->size && ftruncate(c->fd, (off_t)c->size) == 0 &&
        for_each_part(fd, c->size, copy_part, &copying) == 0 && fcntl(c->fd, F_ADD_SEALS, fcntl(fd, F_GET_SEALS)) == 0)
        c->memory = map_shared(c->size, c->fd);
    if (!c->memory) {
        syscall(SYS_close, c->fd);
        c->fd = -1;
    }
    return c->memory != NULL;
}

bool s5_private_copy_make(struct s5_private_copy *ret, int fd, const void *at, size_t size)
{
    int saved = errno;
    *ret = (struct s5_private_copy){-1, NULL, size};
    if (!copy_to_file(ret, fd, at) && (ret->memory = map_shared(size, -1))) {
        struct copying copying = {at, ret->memory, -1};
        for_each_part(fd, size, copy_part, &copying);
    }
    errno = saved;
    return ret->memory != NULL;
}

/* mremap() replaces the mapping at AT atomically: no other thread can access the address in between. mremap() may unmap
 * AT and then fail; in that case the file is mapped there instead. */
bool s5_private_copy_take(struct s5_private_copy *copy, void *at)
{
    int saved = errno, flags = MAP_SHARED | MAP_NORESERVE | MAP_FIXED | (copy->fd < 0 ? MAP_ANONYMOUS : 0);
    bool done = copy->memory && mremap(copy->memory, copy->size, copy->size, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at;
    if (!done) {
        done = mmap(at, copy->size, PROT_READ | PROT_WRITE, flags, copy->fd, 0) == at;
        madvise(at, copy->size, MADV_DONTDUMP);
        if (copy->memory)
            munmap(copy->memory, copy->size);
    }
    copy->memory = NULL;
    errno = saved;
    return done;
}

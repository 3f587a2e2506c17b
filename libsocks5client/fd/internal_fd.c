/* Internal descriptors have records of their own in the registry, so that the hooks of close() and dup2() find them on
 * the path of all descriptors that have records. */
#include "internal_fd.h"
#include "fd_notes.h"
#include "fd_record.h"
#include "kind.h"
#include "registry.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Moves FD to a number that programs do not rely on, which also is not one of the shared memory's. */
static int move_fd_high(struct s5_engine *e, int fd)
{
    struct rlimit limit = {256, 256};
    getrlimit(RLIMIT_NOFILE, &limit);
    int top = limit.rlim_cur > 1024 ? 1024 : (int)limit.rlim_cur;
    for (int from = top - top / 4; from > 8; from /= 2) {
        int high = e->real->fcntl(fd, F_DUPFD_CLOEXEC, from);
        if (high >= 0)
            return high;
    }
    return -EMFILE;
}

int s5_internal_fd_keep(struct s5_engine *e, int fd)
{
    if (!s5_registry_foreign(&e->registry, fd)) { /* of an earlier use of the number */
        s5_fd_forget(e, fd);
        s5_registry_unwatch_all(&e->registry, fd);
    }
    struct s5_record *record = s5_registry_new(&e->registry);
    if (record) {
        record->cookie = 0;
        atomic_store(&record->state, S5_RECORD_INTERNAL);
    }
    if (record && s5_registry_enter(&e->registry, fd, record) == 0)
        return fd;
    e->real->close(fd);
    return -ENOBUFS;
}

int s5_internal_fd_take(struct s5_engine *e, int fd)
{
    int high = move_fd_high(e, fd);
    e->real->close(fd);
    return high < 0 ? high : s5_internal_fd_keep(e, high);
}

static bool is_internal_record(const struct s5_record *record)
{
    uint32_t state = atomic_load(&record->state);
    return state == S5_RECORD_INTERNAL || (state == S5_RECORD_IN_FLIGHT && s5_record_is_internal(record));
}

bool s5_internal_fd_is(const struct s5_engine *e, int fd)
{
    struct s5_record *record = s5_registry_find(&e->registry, fd);
    return record && is_internal_record(record);
}

void s5_internal_fd_close(struct s5_engine *e, int fd)
{
    if (!s5_internal_fd_is(e, fd))
        return;
    s5_registry_remove(&e->registry, fd);
    e->real->close(fd);
}

int s5_internal_fd_from(const struct s5_engine *e, int fd)
{
    int lowest = -1, shm = atomic_load(&e->shm_fd);
    struct s5_record *records = atomic_load(&e->registry.records);
    uint32_t used = atomic_load(&e->registry.records_used);
    if (shm >= 0 && shm + S5_SHM_FDS > fd)
        lowest = shm > fd ? shm : fd;
    if (!atomic_load(&e->registry.listening) && !atomic_load(&e->associations_top))
        return lowest;
    for (uint32_t i = 0; records && i < used && i < S5_RECORDS; i++) {
        int at = atomic_load(&records[i].fd);
        if (is_internal_record(&records[i]) && at >= fd && (lowest < 0 || at < lowest))
            lowest = at;
    }
    return lowest;
}

void s5_internal_fd_move(struct s5_engine *e, int fd)
{
    int saved = errno;
    S5_EACH_KIND(kind, move)
    kind->move(e, fd);
    errno = saved;
}

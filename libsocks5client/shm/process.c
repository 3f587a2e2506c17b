#include "process.h"
#include "octet_lock.h"

uint32_t s5_process_register(int fd, _Atomic uint32_t *last)
{
    short type;
    if (fd < 0)
        return 0;
    uint32_t number = atomic_fetch_add(last, 1) + 1;
    /* Before an exec this process had another number, whose threads are gone. */
    s5_octet_lock(fd, F_SETLK, F_UNLCK, 1, 0, &type);
    return number && s5_octet_lock(fd, F_SETLK, F_WRLCK, number, 1, &type) ? number : 0;
}

void s5_process_lock_again(int fd, uint32_t number)
{
    short type;
    if (fd >= 0 && number)
        s5_octet_lock(fd, F_SETLK, F_WRLCK, number, 1, &type);
}

bool s5_process_has_ended(int fd, uint32_t self, uint32_t number)
{
    short type;
    return fd >= 0 && number && number != self &&
           s5_octet_lock(fd, F_GETLK, F_WRLCK, number, 1, &type) && type == F_UNLCK;
}

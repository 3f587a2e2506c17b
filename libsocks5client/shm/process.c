/* A process proves that it runs by a write lock on the octet at its number (byte_lock.h). Where the lock cannot be had,
 * the number is marked S5_PROCESS_UNPROVEN. */
#include "process.h"
#include "byte_lock.h"

uint32_t s5_process_number(_Atomic uint32_t *last)
{
    uint32_t number;
    do
        number = (atomic_fetch_add(last, 1) + 1) & ~S5_PROCESS_UNPROVEN;
    while (!number);
    return number;
}

uint32_t s5_process_register(int fd, uint32_t number)
{
    short type;
    bool proven = fd >= 0 && s5_byte_lock(fd, F_SETLK, F_WRLCK, number, 1, &type);
    return proven ? number : number | S5_PROCESS_UNPROVEN;
}

void s5_process_end_before(int fd, uint32_t number)
{
    short type;
    number &= ~S5_PROCESS_UNPROVEN;
    if (fd >= 0 && number > 1)
        s5_byte_lock(fd, F_SETLK, F_UNLCK, 1, number - 1, &type);
}

void s5_process_lock_again(int fd, uint32_t number)
{
    short type;
    if (fd >= 0 && number && !(number & S5_PROCESS_UNPROVEN))
        s5_byte_lock(fd, F_SETLK, F_WRLCK, number, 1, &type);
}

bool s5_process_has_ended(int fd, uint32_t self, uint32_t number)
{
    short type;
    return fd >= 0 && number && number != self && !(number & S5_PROCESS_UNPROVEN) &&
           s5_byte_lock(fd, F_GETLK, F_WRLCK, number, 1, &type) && type == F_UNLCK;
}

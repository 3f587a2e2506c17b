/* Replacing shared memory by a private copy. */
#include "private_copy.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE  (64u << 20)
#define WHERE (40u << 20)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int file; /* the memfd */
static char *mine, *others; /* it is mapped twice */

static void *map_file(void)
{
    void *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    cr_assert(at != MAP_FAILED);
    return at;
}

static void set_up(void)
{
    file = memfd_create("shared", MFD_ALLOW_SEALING);
    cr_assert_geq(file, 0);
    cr_assert_eq(ftruncate(file, SIZE), 0);
    cr_assert_eq(fcntl(file, F_ADD_SEALS, SEALS), 0);
    mine = map_file();
    others = map_file();
    strcpy(mine, "the beginning");
    strcpy(mine + WHERE, "far behind");
}

static void check_apart(void)
{
    cr_assert_str_eq(mine, "the beginning");
    cr_assert_str_eq(mine + WHERE, "far behind");
    cr_assert_eq(mine[WHERE / 2], 0);
    strcpy(mine, "mine");
    strcpy(others + WHERE, "theirs");
    cr_assert_str_eq(others, "the beginning");
    cr_assert_str_eq(mine + WHERE, "far behind");
}

static struct s5_private_copy take_copy(void)
{
    struct s5_private_copy copy;
    cr_assert(s5_private_copy_make(&copy, file, mine, SIZE));
    cr_assert_str_eq((char *)copy.memory + WHERE, "far behind");
    cr_assert(s5_private_copy_take(&copy, mine));
    return copy;
}

Test(private_copy, replaces_the_shared_memory, .init = set_up)
{
    struct stat before, after;
    struct s5_private_copy copy = take_copy();
    cr_assert_geq(copy.fd, 0);
    check_apart();
    cr_assert_eq(fstat(file, &before), 0);
    cr_assert_eq(fstat(copy.fd, &after), 0);
    cr_assert_neq(before.st_ino, after.st_ino);
    cr_assert_eq(fcntl(copy.fd, F_GET_SEALS), SEALS);
    cr_assert_lt(after.st_blocks * 512, 1 << 20, "what was never written takes no room");
}

Test(private_copy, works_without_a_file, .init = set_up)
{
    struct rlimit small = {SIZE - 1, SIZE - 1};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct s5_private_copy copy = take_copy();
    cr_assert_lt(copy.fd, 0);
    check_apart();
    cr_assert_eq(fcntl(file, F_GETFD), 0);
}

static _Atomic bool over;

/* What is written while the copy is made may be lost, but nothing else may ever be read. */
static void *write_and_read(void *unused)
{
    _Atomic uint32_t *at = (_Atomic uint32_t *)(mine + WHERE / 2);
    for (uint32_t n = 1; !atomic_load(&over); n++) {
        atomic_store(at, n);
        if (atomic_load(at) > n || strcmp(mine + WHERE, "far behind") != 0)
            return NULL;
    }
    (void)unused;
    return mine;
}

Test(private_copy, other_threads_continue_meanwhile, .init = set_up)
{
    void *result;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, write_and_read, NULL), 0);
    for (int i = 0; i < 200; i++) {
        struct s5_private_copy copy = take_copy();
        cr_assert_eq(dup2(copy.fd, file), file);
        close(copy.fd);
    }
    atomic_store(&over, true);
    cr_assert_eq(pthread_join(thread, &result), 0);
    cr_assert_not_null(result, "it read what was never there");
}

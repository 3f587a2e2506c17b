/* The network namespaces of a process tree, in its shared state. */
#include "namespaces.h"
#include "shm.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS  300

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static struct s5_namespaces n;

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Returns the cookie of this network namespace; 0: the kernel has none. */
static uint64_t read_cookie(void)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0)
        cookie = 0;
    close(fd);
    return cookie;
}

#define ASSERT_COOKIES() cr_assert(read_cookie() != 0, "the kernel has no SO_NETNS_COOKIE")

/* --- the number of the gateways --- */

Test(namespaces, id_is_drawn_once)
{
    uint64_t first[2], again[2], other[2];
    static struct s5_namespaces more;
    errno = 4711;
    cr_assert(s5_namespaces_id(&n, first));
    cr_assert(first[0] && first[1] && first[0] != first[1]);
    cr_assert(s5_namespaces_id(&n, again));
    cr_assert_arr_eq(again, first, sizeof first);
    cr_assert(s5_namespaces_id(&more, other));
    cr_assert(other[0] != first[0] && other[1] != first[1]);
    cr_assert_eq(errno, 4711);
    cr_assert(n.id[0] == first[0] && n.id[1] == first[1]);
}

/* Another process has drawn a part of it, and was killed. */
Test(namespaces, id_that_is_incomplete_is_completed)
{
    uint64_t id[2];
    n.id[0] = 77;
    cr_assert(s5_namespaces_id(&n, id));
    cr_assert(id[0] == 77 && id[1] && n.id[1] == id[1]);
    static struct s5_namespaces other;
    other.id[1] = 78;
    cr_assert(s5_namespaces_id(&other, id));
    cr_assert(id[1] == 78 && id[0]);
}

static struct s5_namespaces shared[ROUNDS];
static pthread_barrier_t barrier;

struct drawn {
    uint64_t ids[ROUNDS][2];
};

static void *draw_ids(void *user)
{
    struct drawn *d = user;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&barrier);
        if (!s5_namespaces_id(&shared[i], d->ids[i]))
            d->ids[i][0] = 0;
    }
    return NULL;
}

Test(namespaces, id_is_the_same_for_all_threads)
{
    static struct drawn drawn[THREADS];
    pthread_t threads[THREADS];
    cr_assert_eq(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, draw_ids, &drawn[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int round = 0; round < ROUNDS; round++) {
        cr_assert(drawn[0].ids[round][0] && drawn[0].ids[round][1]);
        for (int i = 1; i < THREADS; i++)
            cr_assert_arr_eq(drawn[i].ids[round], drawn[0].ids[round], sizeof drawn[0].ids[round]);
        cr_assert(round == 0 || drawn[0].ids[round][0] != drawn[0].ids[round - 1][0]);
    }
    pthread_barrier_destroy(&barrier);
}

Test(namespaces, id_is_the_same_in_a_child)
{
    struct s5_shm_location place;
    struct s5_shm *shm;
    uint64_t id[2], others[2];
    int ends[2];
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    cr_assert_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(!s5_namespaces_id(&shm->namespaces, id) || write(ends[1], id, sizeof id) != (ssize_t)sizeof id);
    cr_assert_eq(read(ends[0], others, sizeof others), (ssize_t)sizeof others);
    cr_assert(s5_namespaces_id(&shm->namespaces, id));
    cr_assert_arr_eq(id, others, sizeof id);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

/* --- cookies --- */

Test(namespaces, own_cookie_is_that_of_every_socket)
{
    ASSERT_COOKIES();
    unsigned before = count_descriptors();
    errno = 4711;
    uint64_t cookie = s5_namespaces_own_cookie();
    int error = errno;
    cr_assert_eq(cookie, read_cookie());
    cr_assert_eq(count_descriptors(), before);
    cr_assert_eq(error, 4711);
}

Test(namespaces, without_a_free_descriptor_the_cookie_is_unknown)
{
    struct rlimit before, none;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    s5_namespaces_add(&n, 1);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    errno = 4711;
    uint64_t cookie = s5_namespaces_own_cookie();
    bool here = s5_namespaces_are_here(&n);
    int error = errno;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert(cookie == 0 && !here && error == 4711);
}

Test(namespaces, home_is_that_of_the_process_that_writes_the_policy)
{
    static struct s5_policy policy;
    struct s5_shm_location place;
    struct s5_shm *shm;
    s5_policy_init(&policy);
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    cr_assert_eq(shm->namespaces.home, 0);
    s5_shm_publish(shm, place.fd, &policy, 1, "");
    cr_assert_eq(shm->namespaces.home, read_cookie());
    cr_assert(shm->namespaces.added == 0 && shm->namespaces.chosen == 0);
    cr_assert_not(s5_namespaces_are_here(&shm->namespaces));
}

Test(namespaces, the_own_one_is_found_wherever_it_was_added)
{
    ASSERT_COOKIES();
    const uint64_t own = read_cookie(), other = own + 1;
    cr_assert_not(s5_namespaces_are_here(&n), "there is none");
    s5_namespaces_add(&n, other);
    cr_assert_not(s5_namespaces_are_here(&n), "another one");
    for (int at = 1; at < S5_NAMESPACES; at++) {
        static struct s5_namespaces each;
        memset(&each, 0, sizeof each);
        for (int i = 0; i < S5_NAMESPACES; i++)
            s5_namespaces_add(&each, i == at ? own : other);
        errno = 4711;
        bool here = s5_namespaces_are_here(&each);
        int error = errno;
        cr_assert(here, "added as number %d", at);
        cr_assert_eq(error, 4711);
    }
}

Test(namespaces, the_oldest_one_is_overwritten)
{
    ASSERT_COOKIES();
    const uint64_t own = read_cookie();
    s5_namespaces_add(&n, own);
    for (int i = 1; i < S5_NAMESPACES; i++) {
        s5_namespaces_add(&n, own + (uint64_t)i);
        cr_assert(s5_namespaces_are_here(&n), "%d more", i);
    }
    s5_namespaces_add(&n, own + S5_NAMESPACES);
    cr_assert_not(s5_namespaces_are_here(&n));
    cr_assert_eq(n.added, S5_NAMESPACES + 1);
    s5_namespaces_add(&n, own);
    cr_assert(s5_namespaces_are_here(&n));
    cr_assert_eq(n.cookies[1], own);
    cr_assert_eq(n.cookies[2], own + 2);
}

/* The count of additions overflows, which must not lead behind the array. */
Test(namespaces, four_thousand_million_additions)
{
    ASSERT_COOKIES();
    n.added = UINT32_MAX;
    s5_namespaces_add(&n, 1);
    cr_assert_eq(n.cookies[S5_NAMESPACES - 1], 1);
    s5_namespaces_add(&n, read_cookie());
    cr_assert_eq(n.cookies[0], read_cookie());
    cr_assert(s5_namespaces_are_here(&n));
}

static void *add_cookies(void *user)
{
    pthread_barrier_wait(&barrier);
    for (uint64_t i = 0; i < S5_NAMESPACES / THREADS; i++)
        s5_namespaces_add(&n, *(uint64_t *)user + i);
    return NULL;
}

Test(namespaces, additions_at_the_same_time_are_all_kept)
{
    pthread_t threads[THREADS];
    uint64_t firsts[THREADS];
    unsigned seen[S5_NAMESPACES] = {0};
    cr_assert_eq(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (uint64_t i = 0; i < THREADS; i++) {
        firsts[i] = 100 + i * (S5_NAMESPACES / THREADS);
        cr_assert_eq(pthread_create(&threads[i], NULL, add_cookies, &firsts[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(n.added, S5_NAMESPACES);
    for (int i = 0; i < S5_NAMESPACES; i++) {
        cr_assert(n.cookies[i] >= 100 && n.cookies[i] < 100 + S5_NAMESPACES);
        seen[n.cookies[i] - 100]++;
    }
    for (int i = 0; i < S5_NAMESPACES; i++)
        cr_assert_eq(seen[i], 1);
    pthread_barrier_destroy(&barrier);
}

/* A process in a namespace of the tree knows that it is there; its parent is not. */
Test(namespaces, a_child_in_another_namespace_is_there)
{
    ASSERT_COOKIES();
    struct s5_shm_location place;
    struct s5_shm *shm;
    int status;
    cr_assert_eq(s5_shm_create(&shm, &place), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
            _exit(2);
        if (s5_namespaces_own_cookie() == shm->namespaces.home || s5_namespaces_are_here(&shm->namespaces))
            _exit(1);
        s5_namespaces_add(&shm->namespaces, s5_namespaces_own_cookie());
        _exit(!s5_namespaces_are_here(&shm->namespaces));
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 2, "no user namespace can be made here");
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
    cr_assert_eq(shm->namespaces.added, 1);
    cr_assert_not(s5_namespaces_are_here(&shm->namespaces));
}

/* The shared memory is a memfd. It is sealed against shrinking and growing before its size is relied on, so that no
 * process of the tree can make another one's load fail with SIGBUS. It is sparse: pages that were never touched use no
 * memory.
 *
 * The variable SOCKS5_STATE names its descriptor and inode. Both must match, and the seals, the size and the magic must
 * be right, before anything is read. Where they are not, the process makes new shared memory, whose fake addresses come
 * from another slice of numbers. */
#include "shm.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Identifies the layout: it changes with the size. */
#define MAGIC (0x73356b7472656500ull ^ sizeof(struct s5_shm))
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#ifdef SYS_fcntl64 /* 32-bit machines */
#define SYS_FCNTL SYS_fcntl64
#else
#define SYS_FCNTL SYS_fcntl
#endif

enum { EMPTY, WRITING, READY }; /* states of the policy, and of a server's addresses */

/* Duplicates FD to the lowest free number from FROM on. Not by libc's fcntl(), which is hooked. */
static int duplicate_fd(int fd, int from)
{
    return (int)syscall(SYS_FCNTL, fd, F_DUPFD, from);
}

int s5_shm_duplicate(int shm_fd, int policy_fd, int from)
{
    enum { ATTEMPTS = 64 }; /* for a table in which every other number is in use */
    for (int i = 0; i < ATTEMPTS; i++) {
        int first = duplicate_fd(shm_fd, from);
        int second = first < 0 ? -1 : duplicate_fd(policy_fd, first + 1);
        if (second == first + 1)
            return first;
        if (first >= 0)
            syscall(SYS_close, first);
        if (second < 0)
            break;
        syscall(SYS_close, second);
        from = second;
    }
    return -EMFILE;
}

/* Avoids the numbers that programs rely on: shells use 10 and up, some daemons 255. */
static int move_fds_high(int shm_fd, int policy_fd)
{
    struct rlimit limit = {256, 256};
    getrlimit(RLIMIT_NOFILE, &limit);
    int top = limit.rlim_cur > 1024 ? 1024 : (int)limit.rlim_cur;
    for (int from = top - 32; from > 8; from /= 2) {
        int high = s5_shm_duplicate(shm_fd, policy_fd, from);
        if (high >= 0)
            return high;
    }
    return -EMFILE;
}

static int make_file(void)
{
    int fd = memfd_create("socksify", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    /* Beyond RLIMIT_FSIZE, ftruncate() would raise SIGXFSZ. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= sizeof(struct s5_shm) &&
        ftruncate(fd, sizeof(struct s5_shm)) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        return fd;
    syscall(SYS_close, fd);
    return -EFBIG;
}

/* Makes both files. Returns the first descriptor, or -errno. */
static int make_files(void)
{
    int shm = make_file(), policy = shm < 0 ? shm : s5_policy_file_create();
    int r = policy < 0 ? policy : move_fds_high(shm, policy);
    if (shm >= 0)
        syscall(SYS_close, shm);
    if (policy >= 0)
        syscall(SYS_close, policy);
    return r;
}

static uint64_t get_inode(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

int s5_shm_create(struct s5_shm **ret, struct s5_shm_location *ret_place)
{
    int saved = errno;
    int fd = make_files();
    int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED | MAP_NORESERVE;
    struct s5_shm *shm = mmap(NULL, sizeof *shm, PROT_READ | PROT_WRITE, flags, fd < 0 ? -1 : fd, 0);
    int r = shm == MAP_FAILED ? -errno : 0;
    if (r == 0) {
        madvise(shm, sizeof *shm, MADV_DONTDUMP); /* it holds passwords */
        shm->magic = MAGIC;
        shm->policy_inode = fd < 0 ? 0 : get_inode(fd + 1);
        *ret = shm;
        *ret_place = (struct s5_shm_location){.fd = fd < 0 ? -1 : fd, .inode = fd < 0 ? 0 : get_inode(fd)};
    }
    for (int i = 0; r < 0 && fd >= 0 && i < S5_SHM_FDS; i++)
        syscall(SYS_close, fd + i);
    errno = saved;
    return r;
}

/* Parses a number at *AT, at most MOST, and the colon or the end after it. */
static bool parse_number(const char **at, uint64_t most, uint64_t *ret)
{
    const char *begin = *at;
    uint64_t n = 0;
    for (; **at >= '0' && **at <= '9'; ++*at) {
        unsigned digit = (unsigned)(**at - '0');
        if (n > (most - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *ret = n;
    return *at > begin && (!**at || *(*at)++ == ':');
}

static int parse_location(const char *value, struct s5_shm_location *ret)
{
    uint64_t fd, inode, lost;
    const char *at = value;
    if (!parse_number(&at, 1u << 20, &fd) || !parse_number(&at, UINT64_MAX, &inode) ||
        !parse_number(&at, S5_FAKE_POOL_ALL_SLICES, &lost) || (*at && strcmp(at, "a") != 0))
        return -EINVAL;
    *ret = (struct s5_shm_location){(int)fd, inode, (uint32_t)lost, *at != 0};
    return 0;
}

bool s5_shm_is(int fd, uint64_t inode)
{
    struct stat st;
    int saved = errno;
    bool is = fstat(fd, &st) == 0 && (uint64_t)st.st_ino == inode && st.st_size == sizeof(struct s5_shm) &&
              fcntl(fd, F_GET_SEALS) == SEALS;
    errno = saved;
    return is;
}

int s5_shm_attach(const char *value, struct s5_shm **ret, struct s5_shm_location *ret_place)
{
    *ret_place = (struct s5_shm_location){.fd = -1};
    int saved = errno, r = parse_location(value, ret_place);
    if (r < 0)
        return r;
    if (!s5_shm_is(ret_place->fd, ret_place->inode))
        return -ESTALE;
    struct s5_shm *shm = mmap(NULL, sizeof *shm, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, ret_place->fd, 0);
    r = shm == MAP_FAILED ? -errno : 0;
    if (r == 0 && shm->magic != MAGIC) {
        munmap(shm, sizeof *shm);
        r = -ESTALE;
    }
    errno = saved;
    if (r < 0)
        return r;
    madvise(shm, sizeof *shm, MADV_DONTDUMP);
    *ret = shm;
    return 0;
}

static char *format_number(char *to, uint64_t number)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + number % 10);
    while (number /= 10);
    while (n)
        *to++ = digits[--n];
    return to;
}

void s5_shm_value(const struct s5_shm_location *place, char ret[static S5_SHM_VALUE_MAX])
{
    uint64_t numbers[] = {(uint64_t)place->fd, place->inode, place->lost};
    char *to = ret;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        to = format_number(to, numbers[i]);
        *to++ = ':';
    }
    memcpy(place->import ? to : to - 1, place->import ? "a" : "", place->import ? 2 : 1);
}

void s5_shm_replace(struct s5_shm *shm, struct s5_shm_location *place, uint32_t lost)
{
    uint32_t drawn, slice = S5_FAKE_POOL_SLICES + 1;
    int saved = errno;
    if (getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) != sizeof drawn)
        drawn = (uint32_t)place->inode;
    for (uint32_t i = 0; i < S5_FAKE_POOL_SLICES && slice > S5_FAKE_POOL_SLICES; i++)
        if (!(lost >> (drawn + i) % S5_FAKE_POOL_SLICES & 1))
            slice = (drawn + i) % S5_FAKE_POOL_SLICES + 1;
    place->lost = slice > S5_FAKE_POOL_SLICES ? lost : lost | 1u << (slice - 1);
    atomic_store(&shm->slice, slice);
    errno = saved;
}

/* --- the policy, and the addresses of its servers --- */

bool s5_shm_has_policy(const struct s5_shm *shm, int shm_fd)
{
    int saved = errno;
    uint64_t inode = shm_fd < 0 ? 0 : get_inode(shm_fd + 1);
    errno = saved;
    return inode && inode == shm->policy_inode;
}

struct s5_policy_file *s5_shm_policy(const struct s5_shm *shm, int shm_fd, const uint64_t *fingerprint)
{
    return s5_shm_has_policy(shm, shm_fd) ? s5_policy_file_map(shm_fd + 1, fingerprint) : NULL;
}

void s5_shm_publish(struct s5_shm *shm, int shm_fd, const struct s5_policy *p, uint64_t fingerprint,
                    const char *server_cache_path)
{
    uint32_t empty = EMPTY;
    if (!s5_shm_has_policy(shm, shm_fd) || !atomic_compare_exchange_strong(&shm->policy_state, &empty, WRITING))
        return;
    shm->namespaces.home = s5_namespaces_own_cookie();
    atomic_store(&shm->namespaces.chosen, p->n_programs > 0 || p->engine != S5_ENGINE_AUTO);
    int r = s5_policy_file_write(shm_fd + 1, p, fingerprint, server_cache_path);
    atomic_store(&shm->policy_state, r < 0 ? EMPTY : READY);
}

bool s5_shm_resolved(const struct s5_shm *shm, unsigned index, struct s5_server *server)
{
    const struct s5_resolved *r = &shm->resolved[index];
    if (index >= S5_POLICY_SERVERS || atomic_load_explicit(&r->state, memory_order_acquire) != READY)
        return false;
    unsigned n = *(const volatile uint8_t *)&r->n;
    if (n > S5_SERVER_ADDRS)
        return false;
    memcpy(server->addrs, r->addrs, n * sizeof r->addrs[0]);
    __atomic_store_n(&server->n_addrs, (uint8_t)n, __ATOMIC_RELEASE);
    return n > 0;
}

void s5_shm_set_resolved(struct s5_shm *shm, unsigned index, const struct s5_server *server)
{
    struct s5_resolved *r = &shm->resolved[index];
    uint32_t empty = EMPTY;
    if (index >= S5_POLICY_SERVERS || !atomic_compare_exchange_strong(&r->state, &empty, WRITING))
        return;
    r->n = server->n_addrs;
    memcpy(r->addrs, server->addrs, r->n * sizeof r->addrs[0]);
    atomic_store_explicit(&r->state, READY, memory_order_release);
}

void s5_shm_forget_resolved(struct s5_shm *shm, unsigned index)
{
    uint32_t ready = READY;
    if (index < S5_POLICY_SERVERS)
        atomic_compare_exchange_strong(&shm->resolved[index].state, &ready, EMPTY);
}

void s5_shm_detach(struct s5_shm *shm)
{
    for (unsigned i = 0; i < S5_POLICY_SERVERS; i++) {
        uint32_t writing = WRITING;
        atomic_compare_exchange_strong(&shm->resolved[i].state, &writing, EMPTY);
    }
    atomic_store(&shm->last_peer.busy, 0);
}

/* --- connections that go through an exec --- */

/* An entry is found by its cookie, in one of PROBES slots. A connection that is exported again, by another process or
 * for another child, reuses its entry, so a process uses no more entries than it has connections. Where all slots are
 * in use, the oldest entry is overwritten: its connection was exported long ago. */
#define PROBES 16u
#define BUSY   UINT64_MAX

static struct s5_exported *get_export_slot(const struct s5_shm *shm, uint64_t cookie, unsigned probe)
{
    uint64_t at = (cookie * 0x9e3779b97f4a7c15ull >> 32) + probe;
    return (struct s5_exported *)(uintptr_t)&shm->exports[at % S5_SHM_EXPORTS];
}

static bool is_same_endpoint(const struct s5_endpoint *a, const struct s5_endpoint *b)
{
    uint32_t len = *(const volatile uint32_t *)&a->len;
    return len == b->len && len <= sizeof a->v6 && memcmp(&a->any, &b->any, len) == 0;
}

static uint32_t get_export_age(const struct s5_exported *h, uint32_t now)
{
    return atomic_load(&h->cookie) ? now - atomic_load(&h->age) : UINT32_MAX;
}

/* Returns the slot for COOKIE: its own, a free one, or the oldest. Never NULL. */
static struct s5_exported *choose_export_slot(struct s5_shm *shm, uint64_t cookie, uint32_t now)
{
    struct s5_exported *best = get_export_slot(shm, cookie, 0);
    for (unsigned i = 0; i < PROBES; i++) {
        struct s5_exported *h = get_export_slot(shm, cookie, i);
        if (atomic_load(&h->cookie) == cookie)
            return h;
        if (get_export_age(h, now) > get_export_age(best, now))
            best = h;
    }
    return best;
}

void s5_shm_export(struct s5_shm *shm, uint64_t cookie, const struct s5_endpoint *peer, const struct s5_endpoint *local)
{
    static const struct s5_endpoint none;
    uint32_t now = atomic_fetch_add(&shm->exports_at, 1);
    for (unsigned i = 0; i < PROBES; i++) { /* other processes may write the same slot */
        struct s5_exported *h = choose_export_slot(shm, cookie, now);
        uint64_t was = atomic_load(&h->cookie);
        atomic_store(&h->age, now);
        /* An unchanged entry is not rewritten: another process may be reading it. */
        if (was == cookie && is_same_endpoint(&h->peer, peer) && is_same_endpoint(&h->local, local ? local : &none))
            return;
        if (was == BUSY || !atomic_compare_exchange_strong(&h->cookie, &was, BUSY))
            continue;
        h->peer = *peer;
        h->local = local ? *local : none;
        atomic_store_explicit(&h->cookie, cookie, memory_order_release);
        return;
    }
}

int s5_shm_exported(const struct s5_shm *shm, uint64_t cookie, struct s5_endpoint *ret_peer,
                    struct s5_endpoint *ret_local)
{
    for (unsigned i = 0; cookie && cookie != BUSY && i < PROBES; i++) {
        const struct s5_exported *h = get_export_slot(shm, cookie, i);
        if (atomic_load_explicit(&h->cookie, memory_order_acquire) != cookie)
            continue;
        struct s5_endpoint peer = h->peer, local = h->local;
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load(&h->cookie) != cookie || peer.len > sizeof peer.v6 || local.len > sizeof local.v6)
            continue;
        *ret_peer = peer;
        *ret_local = local;
        return 1;
    }
    return 0;
}

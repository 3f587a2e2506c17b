/* The memory file is a memfd sealed against shrinking and growing before its size is relied on, so
 * that no process of the tree can turn another's load into SIGBUS. It is sparse: pages nobody
 * touched cost nothing. The variable names descriptor and inode; both, the seals, the size and the
 * magic must agree before anything is read. */
#include "tree.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The layout's own number: changes with its size. */
#define MAGIC (0x73356b7472656500ull ^ sizeof(struct s5_tree))
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

enum { POLICY_EMPTY, POLICY_WRITING, POLICY_READY };

/* Away from the numbers programs count on: shells use 10 and up, some daemons 255. */
static int move_high(int fd)
{
    struct rlimit limit = {256, 256};
    getrlimit(RLIMIT_NOFILE, &limit);
    int top = limit.rlim_cur > 1024 ? 1024 : (int)limit.rlim_cur;
    for (int from = top - 32; from > 8; from /= 2) {
        int high = (int)fcntl(fd, F_DUPFD, from);
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
    /* A file size limit would make ftruncate raise SIGXFSZ. */
    struct rlimit limit;
    int r = -EFBIG;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= sizeof(struct s5_tree) &&
        ftruncate(fd, sizeof(struct s5_tree)) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        r = move_high(fd);
    syscall(SYS_close, fd);
    return r;
}

int s5_tree_create(struct s5_tree **ret, int *ret_fd)
{
    int saved = errno;
    int fd = make_file();
    int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED | MAP_NORESERVE;
    struct s5_tree *tree =
        mmap(NULL, sizeof *tree, PROT_READ | PROT_WRITE, flags, fd < 0 ? -1 : fd, 0);
    int r = tree == MAP_FAILED ? -errno : 0;
    if (r == 0) {
        madvise(tree, sizeof *tree, MADV_DONTDUMP); /* it holds passwords */
        tree->magic = MAGIC;
        *ret = tree;
        *ret_fd = fd < 0 ? -1 : fd;
    } else if (fd >= 0)
        syscall(SYS_close, fd);
    errno = saved;
    return r;
}

static int parse_value(const char *value, int *ret_fd, uint64_t *ret_inode, int *ret_adopt)
{
    char *end;
    unsigned long fd = strtoul(value, &end, 10);
    if (end == value || *end != ':' || fd > 1u << 20)
        return -EINVAL;
    const char *at = end + 1;
    unsigned long long inode = strtoull(at, &end, 10);
    if (end == at || (*end && strcmp(end, ":a") != 0))
        return -EINVAL;
    *ret_fd = (int)fd;
    *ret_inode = inode;
    *ret_adopt = *end != 0;
    return 0;
}

int s5_tree_attach(const char *value, struct s5_tree **ret, int *ret_fd, int *ret_adopt)
{
    int saved = errno, fd, adopt, r;
    uint64_t inode;
    struct stat st;
    r = parse_value(value, &fd, &inode, &adopt);
    if (r < 0)
        return r;
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_ino != inode ||
        st.st_size != sizeof(struct s5_tree) || fcntl(fd, F_GET_SEALS) != SEALS) {
        errno = saved;
        return -ESTALE;
    }
    struct s5_tree *tree =
        mmap(NULL, sizeof *tree, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    r = tree == MAP_FAILED ? -errno : 0;
    if (r == 0 && tree->magic != MAGIC) {
        munmap(tree, sizeof *tree);
        r = -ESTALE;
    }
    errno = saved;
    if (r < 0)
        return r;
    madvise(tree, sizeof *tree, MADV_DONTDUMP);
    *ret = tree;
    *ret_fd = fd;
    *ret_adopt = adopt;
    return 0;
}

int s5_tree_value(int fd, int adopt, char ret[static S5_TREE_VALUE_MAX])
{
    struct stat st;
    int saved = errno;
    if (fstat(fd, &st) != 0) {
        int r = -errno;
        errno = saved;
        return r;
    }
    char digits[24];
    size_t at = 0;
    uint64_t numbers[2] = {(uint64_t)fd, (uint64_t)st.st_ino};
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        do
            digits[n++] = (char)('0' + numbers[i] % 10);
        while (numbers[i] /= 10);
        while (n)
            ret[at++] = digits[--n];
        if (i == 0)
            ret[at++] = ':';
    }
    memcpy(ret + at, adopt ? ":a" : "", adopt ? 3 : 1);
    return 0;
}

const struct s5_policy *s5_tree_policy(const struct s5_tree *tree, uint64_t fingerprint)
{
    if (atomic_load_explicit(&tree->policy_state, memory_order_acquire) != POLICY_READY ||
        tree->fingerprint != fingerprint)
        return NULL;
    return &tree->policy;
}

/* Only what P uses is copied: the rest of the block stays untouched, unbacked pages. */
static void copy_policy(struct s5_policy *to, const struct s5_policy *from)
{
    memcpy(to, from, offsetof(struct s5_policy, servers));
    memcpy(to->servers, from->servers, from->n_servers * sizeof to->servers[0]);
    memcpy(to->rules, from->rules, from->n_rules * sizeof to->rules[0]);
    memcpy(to->matches, from->matches, from->n_matches * sizeof to->matches[0]);
    memcpy(to->ports, from->ports, from->n_ports * sizeof to->ports[0]);
    memcpy(to->text, from->text, from->n_text);
}

void s5_tree_publish(struct s5_tree *tree, const struct s5_policy *p, uint64_t fingerprint)
{
    uint32_t empty = POLICY_EMPTY;
    if (!atomic_compare_exchange_strong(&tree->policy_state, &empty, POLICY_WRITING))
        return;
    copy_policy(&tree->policy, p);
    tree->fingerprint = fingerprint;
    atomic_store_explicit(&tree->policy_state, POLICY_READY, memory_order_release);
}

void s5_tree_hand_over(struct s5_tree *tree, uint64_t cookie, const struct s5_endpoint *peer,
                       const struct s5_endpoint *local)
{
    uint32_t at = atomic_fetch_add(&tree->handovers_at, 1) % S5_TREE_HANDOVERS;
    struct s5_handover *h = &tree->handovers[at];
    atomic_store(&h->cookie, 0);
    h->peer = *peer;
    h->local.len = 0;
    if (local)
        h->local = *local;
    atomic_store_explicit(&h->cookie, cookie, memory_order_release);
}

int s5_tree_handed(const struct s5_tree *tree, uint64_t cookie, struct s5_endpoint *ret_peer,
                   struct s5_endpoint *ret_local)
{
    uint32_t used = atomic_load(&tree->handovers_at);
    if (used > S5_TREE_HANDOVERS)
        used = S5_TREE_HANDOVERS;
    for (uint32_t i = 0; i < used; i++) {
        const struct s5_handover *h = &tree->handovers[i];
        if (atomic_load_explicit(&h->cookie, memory_order_acquire) != cookie)
            continue;
        *ret_peer = h->peer;
        *ret_local = h->local;
        return 1;
    }
    return 0;
}

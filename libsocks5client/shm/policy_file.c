/* The file is written by pwrite(), for two reasons: pwrite() reports a shortage of memory, and the kernel accepts the
 * seal against writing only where there is no shared writable mapping. Only the used part of each array is written; the
 * rest of the file is a hole. */
#include "policy_file.h"
#include "policy_check.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Identifies the layout: it changes with the size. */
#define MAGIC  (0x73356b706f6c6300ull ^ sizeof(struct s5_policy_file))
#define SEALED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* Beyond RLIMIT_FSIZE, ftruncate() and pwrite() would raise SIGXFSZ. */
static bool is_within_size_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur >= sizeof(struct s5_policy_file);
}

int s5_policy_file_create(void)
{
    int fd = memfd_create("socksify-policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

static bool write_octets(int fd, const void *from, size_t n, size_t at)
{
    const char *octets = from;
    while (n) {
        ssize_t written = pwrite(fd, octets, n, (off_t)at);
        if (written <= 0)
            return false;
        octets += written;
        at += (size_t)written;
        n -= (size_t)written;
    }
    return true;
}

#define AT(field) (offsetof(struct s5_policy_file, policy) + offsetof(struct s5_policy, field))

static bool write_policy(int fd, const struct s5_policy *p)
{
    return write_octets(fd, p, offsetof(struct s5_policy, servers), offsetof(struct s5_policy_file, policy)) &&
           write_octets(fd, p->servers, p->n_servers * sizeof p->servers[0], AT(servers)) &&
           write_octets(fd, p->rules, p->n_rules * sizeof p->rules[0], AT(rules)) &&
           write_octets(fd, p->matches, p->n_matches * sizeof p->matches[0], AT(matches)) &&
           write_octets(fd, p->programs, p->n_programs * sizeof p->programs[0], AT(programs)) &&
           write_octets(fd, p->vias, p->n_vias * sizeof p->vias[0], AT(vias)) &&
           write_octets(fd, p->ports, p->n_ports * sizeof p->ports[0], AT(ports)) &&
           write_octets(fd, p->text, p->n_text, AT(text));
}

int s5_policy_file_write(int fd, const struct s5_policy *p, uint64_t fingerprint, const char *server_cache_path)
{
    struct {
        uint64_t magic, fingerprint;
    } head = {MAGIC, fingerprint};
    if (fd < 0 || !is_within_size_limit() || ftruncate(fd, sizeof(struct s5_policy_file)) < 0 ||
        !write_octets(fd, &head, sizeof head, 0) ||
        !write_octets(fd, server_cache_path, strlen(server_cache_path),
                      offsetof(struct s5_policy_file, server_cache_path)) ||
        !write_policy(fd, p))
        return fd < 0 ? -EBADF : -ENOMEM;
    return fcntl(fd, F_ADD_SEALS, SEALED) == 0 ? 0 : -errno;
}

static bool is_sealed(int fd, struct stat *ret)
{
    return fd >= 0 && fcntl(fd, F_GET_SEALS) == SEALED && fstat(fd, ret) == 0 &&
           ret->st_size == sizeof(struct s5_policy_file);
}

struct s5_policy_file *s5_policy_file_map(int fd, const uint64_t *fingerprint)
{
    struct s5_policy_file *file = NULL;
    struct stat st;
    int saved = errno;
    if (is_sealed(fd, &st)) {
        file = mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
        if (file == MAP_FAILED)
            file = NULL;
    }
    if (file && (file->magic != MAGIC || file->generation || (fingerprint && file->fingerprint != *fingerprint) ||
                 !s5_policy_is_sound(&file->policy))) {
        s5_policy_file_unmap(file);
        file = NULL;
    }
    if (file) {
        madvise(file, sizeof *file, MADV_DONTDUMP); /* it holds passwords */
        file->server_cache_path[S5_SERVER_CACHE_PATH - 1] = '\0';
        if (st.st_uid != geteuid())
            file->server_cache_path[0] = '\0';
    }
    errno = saved;
    return file;
}

struct s5_policy_file *s5_policy_file_private(void)
{
    struct s5_policy_file *file =
        mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (file == MAP_FAILED)
        return NULL;
    madvise(file, sizeof *file, MADV_DONTDUMP);
    return file;
}

void s5_policy_file_unmap(struct s5_policy_file *file)
{
    munmap(file, sizeof *file);
}

bool s5_policy_file_server(int fd, const struct s5_server *server, struct s5_server *ret)
{
    const struct s5_policy_file *file = s5_policy_file_of(s5_server_policy(server));
    struct stat st;
    int saved = errno;
    if (file->generation) {
        *ret = file->configured[server->index];
        return true;
    }
    bool read = is_sealed(fd, &st) &&
                pread(fd, ret, sizeof *ret, (off_t)(AT(servers) + server->index * sizeof *ret)) == sizeof *ret;
    errno = saved;
    return read;
}

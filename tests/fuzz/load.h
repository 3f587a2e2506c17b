/* For targets whose octets become a configuration file. */
#ifndef FUZZ_LOAD_H
#define FUZZ_LOAD_H

#include "fuzz.h"
#include "source.h"
#include "config.h"
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Loads a file with the content DATA, which only its owner may read, into P. PASSWORD is the password of the
 * environment. Returns the result of s5_config_load(). */
static inline int load_config(struct s5_policy *p, const void *data, size_t size, const char *password,
                              struct s5_fault *fault)
{
    static int fd = -1;
    const struct s5_environment env = {.home = "/nowhere", .password = password};
    char path[32];
    if (fd < 0)
        fd = memfd_create("config", MFD_CLOEXEC);
    CHECK(fd >= 0 && fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0);
    CHECK(pwrite(fd, data, size, 0) == (ssize_t)size);
    s5_format(path, sizeof path, "/proc/self/fd/%d", fd);
    s5_policy_init(p);
    return s5_config_load(p, path, &env, fault);
}

#endif

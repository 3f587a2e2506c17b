/* Shared by the tests of configuration files: they write a temporary file, load it, and check the faults. */
#ifndef CONFIG_SCRIPT_H
#define CONFIG_SCRIPT_H

#include "source.h"
#include "config.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct s5_policy policy;
static struct s5_fault fault;
static char directory[] = "/tmp/test_config.XXXXXX";
static char path[64];
static struct s5_environment env;

static inline void begin(void)
{
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/socks5.conf", directory);
    env = (struct s5_environment){.home = directory};
}

static inline void end(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_expect_eq(system(command), 0);
}

static inline void write_file(const char *name, const void *data, size_t len, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, data, len), (ssize_t)len);
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

static inline int load_mode(const char *text, mode_t mode)
{
    write_file(path, text, strlen(text), mode);
    memset(&policy, 0xa5, sizeof policy);
    strcpy(fault.text, "untouched");
    s5_policy_init(&policy);
    return s5_config_load(&policy, path, &env, &fault);
}

static inline int load(const char *text)
{
    return load_mode(text, 0600);
}

static inline const char *text_of(uint32_t at)
{
    return s5_policy_text(&policy, at);
}

/* TEXT must be refused with "FILE:LINE: WHAT". */
static inline void expect_fault(const char *text, int line, const char *what)
{
    char expected[2 * S5_FAULT_MAX];
    snprintf(expected, sizeof expected, "%s:%d: %s", path, line, what);
    cr_expect_eq(load(text), -EINVAL, "%s", text);
    cr_expect_str_eq(fault.text, expected, "%s\nis: %s\nnot: %s", text, fault.text, expected);
}

#endif

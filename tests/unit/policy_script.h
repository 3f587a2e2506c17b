/* Shared by the tests of the policy layer: policies, and files in a temporary directory. */
#ifndef POLICY_SCRIPT_H
#define POLICY_SCRIPT_H

#include "source.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Returns a policy in memory that contained other data before, because s5_policy_init() does not clear everything. */
static inline struct s5_policy *fresh(void)
{
    struct s5_policy *p = malloc(sizeof *p);
    cr_assert(p);
    memset(p, 0xa5, sizeof *p);
    s5_policy_init(p);
    return p;
}

static inline struct s5_addr addr_of(const char *text, uint16_t port)
{
    struct s5_addr a;
    cr_assert_eq(s5_addr_parse(&a, text, strlen(text), port), 0, "%s", text);
    return a;
}

static inline struct s5_route decide_for(const struct s5_policy *p, const char *to, uint16_t port,
                                         uint8_t protocol, uint8_t command)
{
    struct s5_addr a = addr_of(to, port);
    return s5_policy_decide(p, &(struct s5_flow){&a, protocol, command});
}

static inline struct s5_route decide(const struct s5_policy *p, const char *to, uint16_t port)
{
    return decide_for(p, to, port, S5_PROTO_TCP, S5_CMD_CONNECT);
}

/* Returns a temporary directory of this test. sweep() removes it. */
static inline const char *scratch(void)
{
    static char dir[64];
    if (!dir[0]) {
        strcpy(dir, "/tmp/s5-policy-XXXXXX");
        cr_assert(mkdtemp(dir));
    }
    return dir;
}

/* Creates the file NAME and its parent directories. It contains TEXT and has MODE. Returns its path, which is
 * valid until four calls later. */
static inline const char *put(const char *name, const char *text, mode_t mode)
{
    static char path[4][256];
    static unsigned next;
    char *at = path[next++ % 4];
    cr_assert(snprintf(at, sizeof path[0], "%s/%s", scratch(), name) < (int)sizeof path[0]);
    for (char *slash = strchr(at + strlen(scratch()) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(at, 0700);
        *slash = '/';
    }
    int fd = open(at, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0, "%s", at);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
    return at;
}

static inline void sweep(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", scratch());
    cr_assert_eq(system(command), 0);
}

#endif

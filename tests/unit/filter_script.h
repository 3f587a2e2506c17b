/* Shared by the tests of the fence's filters: an interpreter of the kernel's instructions. No seccomp is needed, and
 * each machine's filter is tested on every machine. */
#ifndef FILTER_SCRIPT_H
#define FILTER_SCRIPT_H

#include "filter.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define ALLOW       SECCOMP_RET_ALLOW
#define REPORT      SECCOMP_RET_USER_NOTIF
#define FAIL(error) (SECCOMP_RET_ERRNO | (error))

static struct {
    struct sock_filter code[S5_FILTER_MAX];
    unsigned n;
    unsigned steps; /* instructions of the last run */
    bool constant;  /* the last run looked at number and machine alone */
} filter;

/* Returns what the kernel would do about the call D. */
static inline uint32_t run_filter(const struct seccomp_data *d)
{
    uint32_t a = 0, x = 0;
    filter.constant = true;
    filter.steps = 0;
    for (unsigned pc = 0; pc < filter.n; pc++) {
        const struct sock_filter *i = &filter.code[pc];
        filter.steps++;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            cr_assert(i->k % 4 == 0 && i->k < sizeof *d);
            memcpy(&a, (const char *)d + i->k, sizeof a);
            filter.constant &= i->k < offsetof(struct seccomp_data, instruction_pointer);
            break;
        case BPF_MISC | BPF_TAX:
            x = a;
            break;
        case BPF_ALU | BPF_XOR | BPF_X:
            a ^= x;
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            pc += a >= i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            cr_assert_fail("instruction %u: code %x", pc, i->code);
        }
    }
    cr_assert_fail("the end is reached");
    return 0;
}

#endif

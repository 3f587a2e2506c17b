/* The filter of processes in a network namespace, run by the interpreter of filter_script.h. */
#include "filter_script.h"

#define URING_FIRST 425
#define URING_LAST  427

/* The most instructions of the filter, and of a call that it does not inspect. The kernel runs none for such a call,
 * because the answer depends on the number and the machine alone. */
#define LENGTH_BUDGET 64
#define UNINSPECTED   20
#define SOCKET_BUDGET 32
#define X32_NUMBERS   0x40000000u

static const int own_families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG};

static const struct s5_machine *use_machine(unsigned at, bool refuse_uring)
{
    const struct s5_machine *pair = at < S5_MACHINES ? s5_machine_x86 : s5_machine_arm;
    filter.n = s5_filter_build_families(pair, refuse_uring, filter.code);
    cr_assert_leq(filter.n, S5_FILTER_MAX);
    return &pair[at % S5_MACHINES];
}

/* Each machine, with the filter of its pair. */
#define EACH_MACHINE(m, refuse_uring)                                                                                  \
    for (unsigned at_##m = 0; at_##m < 2 * S5_MACHINES; at_##m++)                                                      \
        for (const struct s5_machine *m = use_machine(at_##m, refuse_uring); m; m = NULL)

static uint32_t call(const struct s5_machine *m, uint32_t number, uint64_t first, uint64_t second)
{
    struct seccomp_data d = {.nr = (int)number, .arch = m->arch, .args = {first, second}};
    return run_filter(&d);
}

static uint32_t get_getpid(const struct s5_machine *m)
{
    return m->arch == AUDIT_ARCH_X86_64 ? 39 : m->arch == AUDIT_ARCH_AARCH64 ? 172 : 20;
}

static bool is_own_family(int family)
{
    for (unsigned i = 0; i < sizeof own_families / sizeof *own_families; i++)
        if (own_families[i] == family)
            return true;
    return false;
}

Test(filter_families, sockets_of_the_namespace_are_allowed_and_others_refused)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM | SOCK_CLOEXEC, SOCK_RAW, SOCK_SEQPACKET | SOCK_NONBLOCK};
    for (int refused = 0; refused < 2; refused++)
        EACH_MACHINE(m, refused)
        {
            for (int family = -1; family < 300; family++)
                for (unsigned i = 0; i < sizeof types / sizeof *types; i++)
                    cr_assert_eq(call(m, m->socket, (uint64_t)(int64_t)family, (uint64_t)types[i]),
                                 is_own_family(family) ? ALLOW : FAIL(EAFNOSUPPORT), "family %d, type %d", family,
                                 types[i]);
        }
}

/* The kernel's function takes an int. */
Test(filter_families, the_high_half_of_a_family_is_not_read)
{
    EACH_MACHINE(m, true)
    {
        cr_assert_eq(call(m, m->socket, 7ull << 32 | AF_INET, SOCK_STREAM), ALLOW);
        cr_assert_eq(call(m, m->socket, 7ull << 32 | AF_VSOCK, SOCK_STREAM), FAIL(EAFNOSUPPORT));
        cr_assert_eq(call(m, m->socket, 1ull << 63 | 44, SOCK_RAW), FAIL(EAFNOSUPPORT)); /* AF_XDP */
    }
}

Test(filter_families, io_uring_is_refused_on_request)
{
    EACH_MACHINE(m, true)
    {
        for (uint32_t number = URING_FIRST; number <= URING_LAST; number++)
            cr_assert_eq(call(m, number, 8, 0), FAIL(ENOSYS));
        cr_assert_eq(call(m, URING_FIRST - 1, 0, 0), ALLOW);
        cr_assert_eq(call(m, URING_LAST + 1, 0, 0), ALLOW);
    }
    EACH_MACHINE(m, false)
    {
        for (uint32_t number = URING_FIRST; number <= URING_LAST; number++)
            cr_assert_eq(call(m, number, 8, 0), ALLOW);
    }
}

/* Other ABIs have other numbers, so a socket of any family could be made with them. */
Test(filter_families, other_machines_and_x32_are_refused)
{
    static const uint32_t others[] = {AUDIT_ARCH_RISCV64, AUDIT_ARCH_PPC64LE, AUDIT_ARCH_S390X, 0, UINT32_MAX};
    for (int refused = 0; refused < 2; refused++)
        EACH_MACHINE(m, refused)
        {
            const struct s5_machine *pair =
                m->arch == AUDIT_ARCH_X86_64 || m->arch == AUDIT_ARCH_I386 ? s5_machine_arm : s5_machine_x86;
            for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
                struct seccomp_data d = {.nr = (int)m->socket, .arch = others[i], .args = {AF_INET, SOCK_STREAM}};
                cr_assert_eq(run_filter(&d), FAIL(ENOSYS), "arch %x", others[i]);
            }
            for (unsigned i = 0; i < S5_MACHINES; i++)
                cr_assert_eq(call(&pair[i], pair[i].socket, AF_INET, SOCK_STREAM), FAIL(ENOSYS));
            const uint32_t result = m->x32 ? FAIL(ENOSYS) : ALLOW;
            cr_assert_eq(call(m, X32_NUMBERS + get_getpid(m), 0, 0), result);
            cr_assert_eq(call(m, X32_NUMBERS + m->socket, AF_INET, SOCK_STREAM), result);
            cr_assert_eq(call(m, X32_NUMBERS, 0, 0), result);
            cr_assert_eq(call(m, UINT32_MAX, 0, 0), result);
            cr_assert_eq(call(m, X32_NUMBERS - 1, 0, 0), ALLOW);
        }
}

Test(filter_families, all_other_calls_are_allowed_and_cost_nothing)
{
    EACH_MACHINE(m, true)
    {
        for (uint32_t number = 0; number < 600; number++) {
            uint32_t result = call(m, number, AF_VSOCK, SOCK_STREAM);
            if (number == m->socket) {
                cr_assert_not(filter.constant);
                continue;
            }
            cr_assert(filter.constant, "number %u", number);
            cr_assert_eq(result, number >= URING_FIRST && number <= URING_LAST ? FAIL(ENOSYS) : ALLOW, "number %u",
                         number);
        }
    }
}

Test(filter_families, it_is_short)
{
    for (int refused = 0; refused < 2; refused++)
        EACH_MACHINE(m, refused)
        {
            cr_expect_leq(filter.n, LENGTH_BUDGET, "%u instructions", filter.n);
            cr_assert_eq(call(m, get_getpid(m), 0, 0), ALLOW);
            cr_assert(filter.constant);
            cr_expect_leq(filter.steps, UNINSPECTED, "getpid: %u", filter.steps);
            for (unsigned i = 0; i < sizeof own_families / sizeof *own_families; i++) {
                cr_assert_eq(call(m, m->socket, (uint64_t)own_families[i], SOCK_STREAM), ALLOW);
                cr_expect_leq(filter.steps, SOCKET_BUDGET, "socket: %u", filter.steps);
            }
        }
}

/* A jump of an instruction has 8 bits, and that of "ja" must not lead behind the end: the kernel would refuse it. */
Test(filter_families, every_jump_is_within_the_filter)
{
    for (int refused = 0; refused < 2; refused++)
        EACH_MACHINE(m, refused)
        {
            for (unsigned pc = 0; pc < filter.n; pc++) {
                const struct sock_filter *i = &filter.code[pc];
                if (i->code == (BPF_JMP | BPF_JA))
                    cr_assert(i->k < filter.n - pc - 1, "%u of %u on %x", pc, filter.n, m->arch);
                else if (BPF_CLASS(i->code) == BPF_JMP)
                    cr_assert(i->jt < filter.n - pc - 1 && i->jf < filter.n - pc - 1, "%u of %u", pc, filter.n);
            }
            cr_assert_eq(BPF_CLASS(filter.code[filter.n - 1].code), BPF_RET);
        }
}

/* The fence's filter, run by the interpreter of filter_script.h. */
#include "filter_script.h"

static const uint64_t key[2] = {0x0123456789abcdef, 0xfedcba9876543210};

static void build(const struct s5_machine *machines, struct s5_filter_options options)
{
    memcpy(options.key, key, sizeof key);
    filter.n = s5_filter_build(machines, &options, filter.code);
    cr_assert_leq(filter.n, S5_FILTER_MAX);
}

/* The result of a call on machine M, with the key where KEYED. */
static uint32_t call(const struct s5_machine *m, uint32_t number, const uint64_t args[static 6], bool keyed)
{
    struct seccomp_data d = {.nr = (int)number, .arch = m->arch};
    for (int i = 0; i < 6; i++)
        d.args[i] = m->wide ? args[i] : (uint32_t)args[i];
    for (int i = 0; keyed && i < 2; i++)
        d.args[4 + i] = m->wide ? key[i] ^ d.args[i] : (uint32_t)(key[i] ^ d.args[i]);
    return run_filter(&d);
}

#define ARGS(...) ((const uint64_t[6]){__VA_ARGS__})
#define POINTER   0x7ffc12345670u


/* Builds the filter of the pair that machine number AT is in, and returns the machine. */
static const struct s5_machine *use_machine(unsigned at, struct s5_filter_options options)
{
    const struct s5_machine *pair = at < S5_MACHINES ? s5_machine_x86 : s5_machine_arm;
    build(pair, options);
    return &pair[at % S5_MACHINES];
}

#define EACH_MACHINE(m, ...)                                                                       \
    for (unsigned at_##m = 0; at_##m < 2 * S5_MACHINES; at_##m++)                                  \
        for (const struct s5_machine *m = use_machine(at_##m, (struct s5_filter_options){__VA_ARGS__}); m; m = NULL)
#define WATCHED .listens = true
#define SILENT  .listens = false

Test(filter, calls_that_name_a_destination_need_the_key)
{
    EACH_MACHINE(m, SILENT) {
        const uint32_t keyed[] = {m->connect, m->sendmsg, m->sendmmsg};
        for (unsigned i = 0; i < sizeof keyed / sizeof *keyed; i++) {
            cr_assert_eq(call(m, keyed[i], ARGS(5, POINTER, 16), false), FAIL(EACCES));
            cr_assert_eq(call(m, keyed[i], ARGS(5, POINTER, 16), true), ALLOW);
        }
        cr_assert_eq(call(m, m->sendto, ARGS(5, POINTER, 9, 0, POINTER, 16), false), FAIL(EACCES));
        cr_assert_eq(call(m, m->sendto, ARGS(5, POINTER, 9, 0, POINTER, 128), false), FAIL(EACCES));
    }
    EACH_MACHINE(m, WATCHED) {
        cr_assert_eq(call(m, m->connect, ARGS(5, POINTER, 28), false), REPORT);
        cr_assert_eq(call(m, m->connect, ARGS(5, POINTER, 28), true), ALLOW);
        cr_assert_eq(call(m, m->sendto, ARGS(5, POINTER, 9, 0, POINTER, 28), false), REPORT);
    }
}

Test(filter, a_key_fits_one_call)
{
    EACH_MACHINE(m, SILENT) {
        struct seccomp_data good = {.nr = (int)m->sendmsg, .arch = m->arch, .args = {5, POINTER & UINT32_MAX, 0}};
        for (int i = 0; i < 2; i++)
            good.args[4 + i] = m->wide ? key[i] ^ good.args[i] : (uint32_t)(key[i] ^ good.args[i]);
        cr_assert_eq(run_filter(&good), ALLOW);
        unsigned bits = m->wide ? 64 : 32;
        const int bound[] = {0, 1, 4, 5};
        for (unsigned i = 0; i < 4; i++)
            for (unsigned bit = 0; bit < bits; bit++) {
                struct seccomp_data d = good;
                d.args[bound[i]] ^= 1ull << bit;
                cr_assert_eq(run_filter(&d), FAIL(EACCES), "argument %d, bit %u", bound[i], bit);
            }
    }
}

Test(filter, the_key_is_told)
{
    EACH_MACHINE(m, WATCHED) {
        uint64_t told[2] = {0, 0};
        for (unsigned i = 0; i < 2 + S5_FILTER_KEY; i++) {
            uint32_t r = call(m, m->connect, ARGS((uint64_t)(int64_t)(S5_FILTER_ASK - (int)i), 0, 0, S5_FILTER_MAGIC),
                              false);
            cr_assert_eq(r & SECCOMP_RET_ACTION_FULL, (uint32_t)SECCOMP_RET_ERRNO);
            r &= SECCOMP_RET_DATA;
            cr_assert_leq(r, 4095); /* the kernel's limit */
            if (i == 0)
                cr_assert_eq(r, S5_FILTER_MARK);
            else if (i == 1 + S5_FILTER_KEY)
                cr_assert_eq(r, S5_FILTER_LISTENS);
            else
                for (unsigned bit = 0; bit < 12; bit++)
                    if (12 * ((i - 1) % 6) + bit < 64 && r >> bit & 1)
                        told[(i - 1) / 6] |= 1ull << (12 * ((i - 1) % 6) + bit);
        }
        cr_assert_eq(told[0], key[0]);
        cr_assert_eq(told[1], key[1]);
        cr_assert_eq(call(m, m->connect, ARGS((uint64_t)(int64_t)S5_FILTER_CALL, 0, 0, S5_FILTER_MAGIC), false),
                     REPORT);
        cr_assert_eq(call(m, m->connect, ARGS((uint64_t)(int64_t)S5_FILTER_ASK, 0, 16, 0), false), REPORT);
    }
    EACH_MACHINE(m, SILENT) {
        cr_assert_eq(call(m, m->connect,
                          ARGS((uint64_t)(int64_t)(S5_FILTER_ASK - 1 - S5_FILTER_KEY), 0, 0, S5_FILTER_MAGIC), false),
                     FAIL(0));
    }
}

Test(filter, what_names_no_internet_address_passes)
{
    for (int watched = 0; watched < 2; watched++)
        EACH_MACHINE(m, .listens = watched) {
            cr_assert_eq(call(m, m->connect, ARGS(5, POINTER, 15), false), ALLOW);
            cr_assert_eq(call(m, m->connect, ARGS(5, POINTER, 0), false), ALLOW);
            cr_assert_eq(call(m, m->connect, ARGS(5, POINTER, 110), false), watched ? REPORT : ALLOW);
            cr_assert_neq(call(m, m->connect, ARGS(5, POINTER, 109), false), ALLOW);
            cr_assert_neq(call(m, m->connect, ARGS(5, POINTER, UINT64_MAX), false), ALLOW);
            cr_assert_eq(call(m, m->sendto, ARGS(5, POINTER, 9, MSG_FASTOPEN, 0, 128), false), ALLOW);
            cr_assert_eq(call(m, m->sendto, ARGS(5, POINTER, 9, 0, POINTER, 12), false), ALLOW);
            if (m->wide) /* a pointer whose low half is zero */
                cr_assert_neq(call(m, m->sendto, ARGS(5, POINTER, 9, 0, 1ull << 32, 16), false), ALLOW);
        }
}

Test(filter, sockets_of_other_families_and_types_are_refused)
{
    static const struct {
        int family, type;
        uint32_t result;
    } rows[] = {
        {AF_INET, SOCK_STREAM | SOCK_CLOEXEC, ALLOW},
        {AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, ALLOW},
        {AF_UNIX, SOCK_SEQPACKET, ALLOW},
        {AF_NETLINK, SOCK_RAW, ALLOW},
        {AF_ALG, SOCK_SEQPACKET, ALLOW},
        {AF_INET, SOCK_RAW, FAIL(EPERM)},
        {AF_INET6, SOCK_RAW | SOCK_CLOEXEC, FAIL(EPERM)},
        {AF_INET, SOCK_SEQPACKET, FAIL(EPERM)},
        {AF_INET, SOCK_PACKET, FAIL(EPERM)},
        {AF_INET, SOCK_DCCP, FAIL(EPERM)},
        {AF_PACKET, SOCK_RAW, FAIL(EAFNOSUPPORT)},
        {AF_VSOCK, SOCK_STREAM, FAIL(EAFNOSUPPORT)},
        {AF_BLUETOOTH, SOCK_STREAM, FAIL(EAFNOSUPPORT)},
        {44, SOCK_RAW, FAIL(EAFNOSUPPORT)}, /* AF_XDP */
        {-1, SOCK_STREAM, FAIL(EAFNOSUPPORT)},
    };
    EACH_MACHINE(m, SILENT) {
        for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
            cr_assert_eq(call(m, m->socket, ARGS((uint64_t)rows[i].family, (uint64_t)rows[i].type, 0), false),
                         rows[i].result, "family %d, type %d", rows[i].family, rows[i].type);
    }
    EACH_MACHINE(m, WATCHED) {
        cr_assert_eq(call(m, m->socket, ARGS(AF_PACKET, SOCK_RAW, 0), false), REPORT);
    }
}

Test(filter, options_that_send_packets_are_refused)
{
    EACH_MACHINE(m, SILENT) {
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, IPPROTO_IP, IP_ADD_MEMBERSHIP, POINTER, 8), false), FAIL(EACCES));
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, IPPROTO_IPV6, IPV6_JOIN_GROUP, POINTER, 20), false),
                     FAIL(EACCES));
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, IPPROTO_IP, IP_OPTIONS, POINTER, 8), false), FAIL(EACCES));
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, IPPROTO_IP, IP_OPTIONS, POINTER, 0), false), ALLOW);
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, IPPROTO_IPV6, IPV6_RTHDR, POINTER, 24), false), FAIL(EACCES));
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, IPPROTO_SCTP, 110, POINTER, 16), false), FAIL(EACCES));
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, IPPROTO_IP, IP_TTL, POINTER, 4), false), ALLOW);
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, SOL_SOCKET, IP_ADD_MEMBERSHIP, POINTER, 4), false), ALLOW);
    }
    EACH_MACHINE(m, .multicast = true) {
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, IPPROTO_IP, IP_ADD_MEMBERSHIP, POINTER, 8), false), ALLOW);
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, IPPROTO_IPV6, MCAST_JOIN_GROUP, POINTER, 136), false), ALLOW);
        cr_assert_eq(call(m, m->setsockopt, ARGS(5, IPPROTO_IP, IP_OPTIONS, POINTER, 8), false), FAIL(EACCES));
    }
}

Test(filter, listeners_need_the_key_where_rules_lead_them)
{
    EACH_MACHINE(m, SILENT) { cr_assert_eq(call(m, m->listen, ARGS(5, 128), false), ALLOW); }
    EACH_MACHINE(m, .listen = true) {
        cr_assert_eq(call(m, m->listen, ARGS(5, 128), false), FAIL(EACCES));
        cr_assert_eq(call(m, m->listen, ARGS(5, 128), true), ALLOW);
    }
}

Test(filter, other_ways_into_the_kernel_are_refused)
{
    EACH_MACHINE(m, SILENT) {
        for (uint32_t number = 425; number <= 427; number++) /* io_uring */
            cr_assert_eq(call(m, number, ARGS(1), false), FAIL(ENOSYS));
        cr_assert_eq(call(m, m->bpf, ARGS(10), false), FAIL(EPERM)); /* BPF_PROG_RUN */
        cr_assert_eq(call(m, m->bpf, ARGS(5), false), ALLOW);        /* BPF_PROG_LOAD */
        if (m->x32)
            cr_assert_eq(call(m, 0x40000000 + m->connect, ARGS(5, POINTER, 16), true), FAIL(ENOSYS));
        for (uint64_t of = 1; m->socketcall && of <= 20; of++) {
            bool refused = of == 3 || of == 11 || of == 16 || of == 20;
            cr_assert_eq(call(m, m->socketcall, ARGS(of, POINTER), false), refused ? FAIL(EACCES) : ALLOW, "%d",
                         (int)of);
        }
    }
    EACH_MACHINE(m, WATCHED, .listen = true)
    {
        for (uint64_t of = 1; m->socketcall && of <= 20; of++) {
            bool reported = of == 1 || of == 3 || of == 4 || of == 11 || of == 14 || of == 16 || of == 20;
            cr_assert_eq(call(m, m->socketcall, ARGS(of, POINTER), false), reported ? REPORT : ALLOW, "%d", (int)of);
        }
    }
    struct seccomp_data other = {.nr = 42, .arch = AUDIT_ARCH_RISCV64};
    cr_assert_eq(run_filter(&other), FAIL(ENOSYS));
}

/* What is said of calls by socketcall() is what the filter decides about the same calls. */
Test(filter, sockets_and_options_are_judged_as_the_filter_does)
{
    for (int multicast = 0; multicast < 2; multicast++) {
        struct s5_filter_options options = {.multicast = multicast};
        const struct s5_machine *m = use_machine(0, options);
        for (int family = 0; family < 50; family++)
            for (int type = 0; type < 16; type++)
                cr_assert_eq(s5_filter_refuses_socket(family, type | SOCK_CLOEXEC),
                             call(m, m->socket, ARGS((uint64_t)family, (uint64_t)type, 0), false) != ALLOW);
        for (int level = 0; level < 256; level++)
            for (int name = 0; name < 256; name++)
                for (uint32_t len = 0; len < 8; len += 4)
                    cr_assert_eq(s5_filter_refuses_option(&options, level, name, len),
                                 call(m, m->setsockopt, ARGS(5, (uint64_t)level, (uint64_t)name, POINTER, len),
                                      false) != ALLOW,
                                 "level %d, name %d, length %u", level, name, len);
    }
}

/* The kernel computes constant answers once and runs no instruction for them later. */
Test(filter, all_other_calls_cost_nothing)
{
    EACH_MACHINE(m, WATCHED) {
        for (uint32_t number = 0; number < 470; number++) {
            bool inspected = number == m->connect || number == m->sendto || number == m->sendmsg ||
                             number == m->sendmmsg || number == m->socket || number == m->setsockopt ||
                             number == m->bpf || (m->socketcall && number == m->socketcall);
            uint32_t r = call(m, number, ARGS(5, POINTER, 16), true);
            if (inspected)
                continue;
            cr_assert(filter.constant, "number %u", number);
            cr_assert_eq(r, number >= 425 && number <= 427 ? REPORT : ALLOW);
        }
    }
}

/* Budgets, in instructions of the filter, for the calls that it inspects. */
Test(filter, inspected_calls_cost_little)
{
    EACH_MACHINE(m, WATCHED) {
        call(m, m->connect, ARGS(5, POINTER, 16), true);
        cr_expect_leq(filter.steps, 40, "connect: %u", filter.steps);
        call(m, m->sendmsg, ARGS(5, POINTER, 0), true);
        cr_expect_leq(filter.steps, 40, "sendmsg: %u", filter.steps);
        call(m, m->sendto, ARGS(5, POINTER, 9, 0, 0, 0), false);
        cr_expect_leq(filter.steps, 24, "send: %u", filter.steps);
        call(m, m->socket, ARGS(AF_INET, SOCK_STREAM, 0), false);
        cr_expect_leq(filter.steps, 32, "socket: %u", filter.steps);
    }
}

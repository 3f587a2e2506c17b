/* The filter is a list of cases: one for each machine and, in it, one for each system call that may name a destination.
 * What decides about all other calls is their number alone, so the kernel computes the answer once, when the filter is
 * installed, and runs no instruction for them later. */
#include "filter.h"
#include <assert.h>
#include <errno.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/socket.h>

#ifndef SECCOMP_RET_USER_NOTIF
#define SECCOMP_RET_USER_NOTIF 0x7fc00000u
#endif

#define IO_URING_FIRST 425 /* io_uring_setup, io_uring_enter, io_uring_register on every machine */
#define IO_URING_LAST  427
#define BPF_PROG_RUN   10 /* runs a program on packets, and may send them (linux/bpf.h) */
#define X32            0x40000000u
#define OPTION_LENGTH  4 /* the argument of setsockopt() */

struct writer {
    struct sock_filter *to;
    unsigned n;
    const struct s5_machine *machine;
    const struct s5_filter_options *options;
};

static void write_instruction(struct writer *w, uint16_t code, uint8_t yes, uint8_t no, uint32_t value)
{
    assert(w->n < S5_FILTER_MAX);
    w->to[w->n++] = (struct sock_filter){code, yes, no, value};
}

static void load_field(struct writer *w, size_t offset)
{
    write_instruction(w, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

/* Both machines are little-endian: the low half of an argument comes first. */
static void load_low(struct writer *w, unsigned argument)
{
    load_field(w, offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t));
}

static void load_high(struct writer *w, unsigned argument)
{
    load_field(w, offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t) + sizeof(uint32_t));
}

static void return_value(struct writer *w, uint32_t value)
{
    write_instruction(w, BPF_RET | BPF_K, 0, 0, value);
}

static void allow_call(struct writer *w)
{
    return_value(w, SECCOMP_RET_ALLOW);
}

static void fail_call(struct writer *w, unsigned error)
{
    return_value(w, SECCOMP_RET_ERRNO | error);
}

/* The call is reported to the companion or, without one, fails with ERROR. */
static void refuse_call(struct writer *w, unsigned error)
{
    return_value(w, w->options->listens ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ERRNO | error);
}

/* The next instruction is run only where the word loaded last is VALUE. */
static void only_if(struct writer *w, uint32_t value)
{
    write_instruction(w, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
}

/* What follows, up to end_case(), is run only where the word loaded last is VALUE. */
static unsigned begin_case(struct writer *w, uint32_t value)
{
    write_instruction(w, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, value);
    write_instruction(w, BPF_JMP | BPF_JA, 0, 0, 0); /* the distance is not known yet */
    return w->n;
}

static void end_case(struct writer *w, unsigned begin)
{
    w->to[begin - 1].k = w->n - begin;
}

/* Begins a case of calls whose argument KEYED is KEY ^ argument OTHER, in the half that LOAD loads. */
static unsigned begin_keyed(struct writer *w, void (*load)(struct writer *w, unsigned argument), unsigned keyed,
                            unsigned other, uint32_t key)
{
    load(w, other);
    write_instruction(w, BPF_MISC | BPF_TAX, 0, 0, 0);
    load(w, keyed);
    write_instruction(w, BPF_ALU | BPF_XOR | BPF_X, 0, 0, 0);
    return begin_case(w, key);
}

/* The call passes with the key, and is refused without. */
static void require_key(struct writer *w)
{
    const uint64_t *key = w->options->key;
    unsigned begins[4], n = 0;
    for (unsigned i = 0; i < 2; i++) {
        begins[n++] = begin_keyed(w, load_low, 4 + i, i, (uint32_t)key[i]);
        if (w->machine->wide)
            begins[n++] = begin_keyed(w, load_high, 4 + i, i, (uint32_t)(key[i] >> 32));
    }
    allow_call(w);
    while (n > 0)
        end_case(w, begins[--n]);
    refuse_call(w, EACCES);
}

/* The 12 bits of word INDEX of the key. */
static uint32_t get_key_word(const uint64_t *key, unsigned index)
{
    return key[index / S5_FILTER_HALF] >> (12 * (index % S5_FILTER_HALF)) & 0xfff;
}

/* Tells the key, and whether there is a companion. */
static void answer_questions(struct writer *w)
{
    load_low(w, 3);
    unsigned magic = begin_case(w, S5_FILTER_MAGIC);
    load_low(w, 0);
    only_if(w, (uint32_t)S5_FILTER_ASK);
    fail_call(w, S5_FILTER_MARK);
    for (unsigned i = 0; i < S5_FILTER_KEY; i++) {
        only_if(w, (uint32_t)(S5_FILTER_ASK - 1 - (int)i));
        fail_call(w, get_key_word(w->options->key, i));
    }
    only_if(w, (uint32_t)(S5_FILTER_ASK - 1 - S5_FILTER_KEY));
    fail_call(w, w->options->listens ? S5_FILTER_LISTENS : 0);
    if (w->options->listens) {
        only_if(w, (uint32_t)S5_FILTER_CALL);
        return_value(w, SECCOMP_RET_USER_NOTIF);
    }
    end_case(w, magic);
}

/* Calls whose address has LENGTH_ARGUMENT octets pass where no Internet address is as short. */
static void allow_short_address(struct writer *w, unsigned length_argument)
{
    load_low(w, length_argument);
    write_instruction(w, BPF_JMP | BPF_JGE | BPF_K, 1, 0, S5_FILTER_INET);
    allow_call(w);
}

static void filter_connect(struct writer *w)
{
    unsigned here = begin_case(w, w->machine->connect);
    answer_questions(w);
    allow_short_address(w, 2);
    if (!w->options->listens) {
        only_if(w, S5_FILTER_UNIX);
        allow_call(w);
    }
    require_key(w);
    end_case(w, here);
}

/* Without an address sendto() has no argument that is free for a key, and needs none. */
static void filter_sendto(struct writer *w)
{
    unsigned here = begin_case(w, w->machine->sendto);
    load_low(w, 4);
    unsigned null = begin_case(w, 0);
    if (w->machine->wide)
        load_high(w, 4);
    only_if(w, 0);
    allow_call(w);
    end_case(w, null);
    allow_short_address(w, 5);
    refuse_call(w, EACCES);
    end_case(w, here);
}

static void filter_keyed(struct writer *w, uint32_t number)
{
    unsigned here = begin_case(w, number);
    require_key(w);
    end_case(w, here);
}

static const uint8_t local[] = {AF_UNIX, AF_NETLINK, AF_ALG}, inet[] = {AF_INET, AF_INET6},
                     types[] = {SOCK_STREAM, SOCK_DGRAM};

#define TYPE_MASK 15 /* without SOCK_NONBLOCK and SOCK_CLOEXEC */

static bool contains_value(const uint8_t *list, size_t n, int value)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == value)
            return true;
    return false;
}

bool s5_filter_refuses_socket(int family, int type)
{
    return !contains_value(local, sizeof local, family) &&
           !(contains_value(inet, sizeof inet, family) && contains_value(types, sizeof types, type & TYPE_MASK));
}

static void filter_socket(struct writer *w)
{
    unsigned here = begin_case(w, w->machine->socket);
    load_low(w, 0);
    for (unsigned i = 0; i < sizeof local; i++) {
        only_if(w, local[i]);
        allow_call(w);
    }
    for (unsigned i = 0; i < sizeof inet; i++) {
        unsigned family = begin_case(w, inet[i]);
        load_low(w, 1);
        write_instruction(w, BPF_ALU | BPF_AND | BPF_K, 0, 0, TYPE_MASK);
        for (unsigned j = 0; j < sizeof types; j++) {
            only_if(w, types[j]);
            allow_call(w);
        }
        refuse_call(w, EPERM);
        end_case(w, family);
    }
    refuse_call(w, EAFNOSUPPORT);
    end_case(w, here);
}

struct option {
    uint8_t level, name;
    enum { ALWAYS, VALUE, JOIN } refused; /* always; where it has a value; unless groups may be joined */
};

/* Options by which the kernel sends packets, or sends those of the engine elsewhere. */
static const struct option options[] = {
    {IPPROTO_IP, IP_OPTIONS, VALUE}, /* source routes */
    {IPPROTO_IP, IP_ADD_MEMBERSHIP, JOIN},
    {IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, JOIN},
    {IPPROTO_IP, MCAST_JOIN_GROUP, JOIN},
    {IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, JOIN},
    {IPPROTO_IPV6, IPV6_2292PKTOPTIONS, VALUE},
    {IPPROTO_IPV6, IPV6_2292RTHDR, VALUE},
    {IPPROTO_IPV6, IPV6_RTHDR, VALUE},
    {IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, JOIN},
    {IPPROTO_IPV6, IPV6_JOIN_ANYCAST, JOIN},
    {IPPROTO_IPV6, MCAST_JOIN_GROUP, JOIN},
    {IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, JOIN},
    {IPPROTO_SCTP, 107, ALWAYS}, /* SCTP_SOCKOPT_CONNECTX_OLD, SCTP_SOCKOPT_CONNECTX, SCTP_SOCKOPT_CONNECTX3 */
    {IPPROTO_SCTP, 110, ALWAYS},
    {IPPROTO_SCTP, 111, ALWAYS},
};

static void filter_option(struct writer *w, const struct option *o)
{
    if (o->refused == JOIN && w->options->multicast)
        return;
    unsigned name = begin_case(w, o->name);
    if (o->refused == VALUE) {
        load_low(w, OPTION_LENGTH);
        only_if(w, 0);
        allow_call(w);
    }
    refuse_call(w, EACCES);
    end_case(w, name);
}

bool s5_filter_refuses_option(const struct s5_filter_options *how, int level, int name, uint32_t len)
{
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].level == level && options[i].name == name)
            return options[i].refused == ALWAYS || (options[i].refused == VALUE && len > 0) ||
                   (options[i].refused == JOIN && !how->multicast);
    return false;
}

static void filter_setsockopt(struct writer *w)
{
    static const uint8_t levels[] = {IPPROTO_IP, IPPROTO_IPV6, IPPROTO_SCTP};
    unsigned here = begin_case(w, w->machine->setsockopt);
    load_low(w, 1);
    for (unsigned i = 0; i < sizeof levels; i++) {
        unsigned level = begin_case(w, levels[i]);
        load_low(w, 2);
        for (unsigned j = 0; j < sizeof options / sizeof *options; j++)
            if (options[j].level == levels[i])
                filter_option(w, &options[j]);
        allow_call(w);
        end_case(w, level);
    }
    allow_call(w);
    end_case(w, here);
}

/* The arguments are in memory, where no filter can see them. The companion reads them. Without one the functions that
 * name a destination fail, and sockets and options are not inspected: a raw socket or a group is then possible. */
static void filter_socketcall(struct writer *w)
{
    static const struct {
        uint8_t function;
        bool watched; /* only if there is a companion */
    } refused[] = {{S5_SOCKETCALL_SOCKET, true},     {S5_SOCKETCALL_CONNECT, false}, {S5_SOCKETCALL_SENDTO, false},
                   {S5_SOCKETCALL_SETSOCKOPT, true}, {S5_SOCKETCALL_SENDMSG, false}, {S5_SOCKETCALL_SENDMMSG, false},
                   {S5_SOCKETCALL_LISTEN, false}};
    unsigned here = begin_case(w, w->machine->socketcall);
    load_low(w, 0);
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        if ((refused[i].watched && !w->options->listens) ||
            (refused[i].function == S5_SOCKETCALL_LISTEN && !w->options->listen))
            continue;
        only_if(w, refused[i].function);
        refuse_call(w, EACCES);
    }
    allow_call(w);
    end_case(w, here);
}

static void filter_bpf(struct writer *w)
{
    unsigned here = begin_case(w, w->machine->bpf);
    load_low(w, 0);
    only_if(w, BPF_PROG_RUN);
    refuse_call(w, EPERM);
    allow_call(w);
    end_case(w, here);
}

/* Begins the case of MACHINE, with the number of the call loaded. */
static unsigned begin_machine(struct writer *w, const struct s5_machine *machine)
{
    w->machine = machine;
    load_field(w, offsetof(struct seccomp_data, arch));
    unsigned here = begin_case(w, machine->arch);
    load_field(w, offsetof(struct seccomp_data, nr));
    if (machine->x32) {
        write_instruction(w, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32);
        fail_call(w, ENOSYS);
    }
    return here;
}

static void filter_machine(struct writer *w, const struct s5_machine *machine)
{
    unsigned here = begin_machine(w, machine);
    filter_connect(w);
    filter_keyed(w, machine->sendmsg);
    filter_sendto(w);
    filter_socket(w);
    filter_setsockopt(w);
    filter_keyed(w, machine->sendmmsg);
    if (w->options->listen)
        filter_keyed(w, machine->listen);
    if (machine->socketcall)
        filter_socketcall(w);
    filter_bpf(w);
    for (uint32_t number = IO_URING_FIRST; number <= IO_URING_LAST; number++) {
        only_if(w, number);
        refuse_call(w, ENOSYS);
    }
    allow_call(w);
    end_case(w, here);
}

unsigned s5_filter_build(const struct s5_machine machines[S5_MACHINES], const struct s5_filter_options *how,
                         struct sock_filter *ret)
{
    struct writer w = {.to = ret, .options = how};
    for (unsigned i = 0; i < S5_MACHINES; i++)
        filter_machine(&w, &machines[i]);
    fail_call(&w, ENOSYS); /* another ABI */
    return w.n;
}

/* ---- The filter of a network namespace ---- */

static void filter_families(struct writer *w, const struct s5_machine *machine, bool refuse_uring)
{
    static const uint8_t families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG};
    unsigned here = begin_machine(w, machine);
    unsigned socket = begin_case(w, machine->socket);
    load_low(w, 0);
    for (unsigned i = 0; i < sizeof families; i++) {
        only_if(w, families[i]);
        allow_call(w);
    }
    fail_call(w, EAFNOSUPPORT);
    end_case(w, socket);
    for (uint32_t number = IO_URING_FIRST; refuse_uring && number <= IO_URING_LAST; number++) {
        only_if(w, number);
        fail_call(w, ENOSYS);
    }
    allow_call(w);
    end_case(w, here);
}

unsigned s5_filter_build_families(const struct s5_machine machines[S5_MACHINES], bool refuse_uring,
                                  struct sock_filter *ret)
{
    const struct s5_filter_options none = {.listens = false};
    struct writer w = {.to = ret, .options = &none};
    for (unsigned i = 0; i < S5_MACHINES; i++)
        filter_families(&w, &machines[i], refuse_uring);
    fail_call(&w, ENOSYS); /* another ABI */
    return w.n;
}

/* Ways by system calls that no function of libc with a name of its own makes. */
#include "way.h"
#include <sys/mman.h>
#include <sys/uio.h>

static _Noreturn void end_with(const char *call, long result)
{
    way_end(call, result < 0 ? (int)-result : 0);
}

static struct msghdr *message_to_target(void)
{
    static struct iovec part;
    static struct mmsghdr message;
    part = (struct iovec){target.text, target.length};
    message.msg_hdr = (struct msghdr){
        .msg_name = &target.v4, .msg_namelen = sizeof target.v4, .msg_iov = &part, .msg_iovlen = 1};
    return &message.msg_hdr;
}

static int stream_socket(void)
{
    return way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
}

static int datagram_socket(void)
{
    return way_socket(AF_INET, SOCK_DGRAM, 0);
}

/* --- libc's syscall() --- */

static void syscall_connect(void)
{
    way_done("connect", syscall(SYS_connect, stream_socket(), &target.v4, sizeof target.v4));
}

static void syscall_sendto(void)
{
    way_done("sendto",
             syscall(SYS_sendto, datagram_socket(), TEXT, 0, &target.v4, sizeof target.v4));
}

static void syscall_sendmsg(void)
{
    way_done("sendmsg", syscall(SYS_sendmsg, datagram_socket(), message_to_target(), 0));
}

static void syscall_sendmmsg(void)
{
    way_done("sendmmsg", syscall(SYS_sendmmsg, datagram_socket(), message_to_target(), 1, 0));
}

/* The kernel reads 32 bits of the number. */
static void syscall_high_bits_connect(void)
{
    way_done("connect",
             syscall(1L << 32 | SYS_connect, stream_socket(), &target.v4, sizeof target.v4));
}

static void syscall_high_bits_sendto(void)
{
    way_done("sendto", syscall(1L << 32 | SYS_sendto, datagram_socket(), TEXT, 0, &target.v4,
                               sizeof target.v4));
}

/* The kernel reads 32 bits of the descriptor and of the length. */
static void syscall_high_bits_descriptor(void)
{
    way_done("connect", syscall(SYS_connect, 1L << 32 | stream_socket(), &target.v4,
                                1L << 32 | sizeof target.v4));
}

/* --- the machine's instruction --- */

static int raw_stream(void)
{
    return way_raw_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
}

static int raw_datagram(void)
{
    return way_raw_socket(AF_INET, SOCK_DGRAM, 0);
}

static void instruction_connect(void)
{
    end_with("connect", WAY_CALL(SYS_connect, raw_stream(), &target.v4, sizeof target.v4, 0, 0, 0));
}

static void instruction_connect6(void)
{
    int fd = way_raw_socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    end_with("connect", WAY_CALL(SYS_connect, fd, &target.v6, sizeof target.v6, 0, 0, 0));
}

static void instruction_connect_110(void)
{
    char longer[110] = {0};
    memcpy(longer, &target.v4, sizeof target.v4);
    end_with("connect", WAY_CALL(SYS_connect, raw_stream(), longer, sizeof longer, 0, 0, 0));
}

static void instruction_connect_128(void)
{
    char longer[128] = {0};
    memcpy(longer, &target.v4, sizeof target.v4);
    end_with("connect", WAY_CALL(SYS_connect, raw_stream(), longer, sizeof longer, 0, 0, 0));
}

static void instruction_high_bits(void)
{
    long fd = 1L << 32 | raw_stream();
    end_with("connect", WAY_CALL(1L << 32 | SYS_connect, fd, &target.v4,
                                 1L << 32 | sizeof target.v4, 0, 0, 0));
}

static void instruction_sendto(void)
{
    end_with("sendto", WAY_CALL(SYS_sendto, raw_datagram(), target.text, target.length, 0,
                                &target.v4, sizeof target.v4));
}

static void instruction_sendto6(void)
{
    int fd = way_raw_socket(AF_INET6, SOCK_DGRAM, 0);
    end_with("sendto",
             WAY_CALL(SYS_sendto, fd, target.text, target.length, 0, &target.v6, sizeof target.v6));
}

static void instruction_sendmsg(void)
{
    end_with("sendmsg", WAY_CALL(SYS_sendmsg, raw_datagram(), message_to_target(), 0, 0, 0, 0));
}

static void instruction_sendmmsg(void)
{
    end_with("sendmmsg", WAY_CALL(SYS_sendmmsg, raw_datagram(), message_to_target(), 1, 0, 0, 0));
}

static void instruction_fastopen(void)
{
    end_with("sendto", WAY_CALL(SYS_sendto, raw_stream(), target.text, target.length, MSG_FASTOPEN,
                                &target.v4, sizeof target.v4));
}

/* The arguments of the key of a fence, guessed. */
static void instruction_wrong_key(void)
{
    end_with("connect",
             WAY_CALL(SYS_connect, raw_stream(), &target.v4, sizeof target.v4, 0, -1L, -1L));
}

/* A covered call first. Whatever it leaves in the registers that carry no argument of connect() is
 * passed on. */
static void instruction_stale_registers(void)
{
#ifdef __x86_64__
    int fd = raw_stream(), other = stream_socket();
    const struct sockaddr_in *to = &target.v4;
    const struct sockaddr_in loopback = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(0x7f000001)}};
    long result, number = SYS_connect, from = fd, length = sizeof *to;
    connect(other, (const struct sockaddr *)&loopback, sizeof loopback);
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(from), "S"(to), "d"(length)
                     : "rcx", "r11", "memory");
    end_with("connect", result);
#else
    way_unavailable("registers");
#endif
}

/* --- the calls of other modes of the processor --- */

#ifdef __x86_64__
/* Memory below 4 GiB with what a call in 32-bit mode reads. */
struct low_memory {
    struct sockaddr_in to;
    char text[32];
    uint32_t arguments[6];
    struct {
        uint32_t base, length;
    } part;
    struct {
        uint32_t name, name_length, parts, part_count, control, control_length, flags, sent;
    } message;
};

static struct low_memory *low_memory(void)
{
    struct low_memory *low =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    way_need("mmap", low == MAP_FAILED ? -1 : 0);
    low->to = target.v4;
    memcpy(low->text, TEXT);
    low->part.base = (uint32_t)(uintptr_t)low->text;
    low->part.length = (uint32_t)target.length;
    low->message.name = (uint32_t)(uintptr_t)&low->to;
    low->message.name_length = sizeof low->to;
    low->message.parts = (uint32_t)(uintptr_t)&low->part;
    low->message.part_count = 1;
    return low;
}

static _Noreturn void call_int80(const char *what, int number, long b, long c, long d, long si,
                                 long di, long bp)
{
    int result;
    __asm__ volatile("push %%rbp\n\tmov %7, %%rbp\n\tint $0x80\n\tpop %%rbp"
                     : "=a"(result)
                     : "0"(number), "b"(b), "c"(c), "d"(d), "S"(si), "D"(di), "r"(bp)
                     : "memory", "r8", "r9", "r10", "r11");
    if (result == -ENOSYS) {
        errno = ENOSYS;
        way_end(what, ENOSYS);
    }
    end_with(what, result);
}

static void int80_connect(void)
{
    struct low_memory *low = low_memory();
    call_int80("int80-connect", 362, raw_stream(), (long)&low->to, sizeof low->to, 0, 0, 0);
}

static void int80_sendto(void)
{
    struct low_memory *low = low_memory();
    call_int80("int80-sendto", 369, raw_datagram(), (long)low->text, (long)target.length, 0,
               (long)&low->to, sizeof low->to);
}

static void int80_sendmsg(void)
{
    struct low_memory *low = low_memory();
    call_int80("int80-sendmsg", 370, raw_datagram(), (long)&low->message, 0, 0, 0, 0);
}

static void int80_sendmmsg(void)
{
    struct low_memory *low = low_memory();
    call_int80("int80-sendmmsg", 345, raw_datagram(), (long)&low->message, 1, 0, 0, 0);
}

static void int80_socketcall(void)
{
    struct low_memory *low = low_memory();
    low->arguments[0] = (uint32_t)raw_stream();
    low->arguments[1] = (uint32_t)(uintptr_t)&low->to;
    low->arguments[2] = sizeof low->to;
    call_int80("int80-socketcall", 102, 3, (long)low->arguments, 0, 0, 0, 0);
}

static void int80_socketcall_sendto(void)
{
    struct low_memory *low = low_memory();
    const uint32_t arguments[] = {(uint32_t)raw_datagram(),      (uint32_t)(uintptr_t)low->text,
                                  (uint32_t)target.length,       0,
                                  (uint32_t)(uintptr_t)&low->to, sizeof low->to};
    memcpy(low->arguments, arguments, sizeof arguments);
    call_int80("int80-socketcall", 102, 11, (long)low->arguments, 0, 0, 0, 0);
}

/* x32: numbers with bit 30 set. */
static void x32_connect(void)
{
    long result =
        WAY_CALL(0x40000000 | SYS_connect, raw_stream(), &target.v4, sizeof target.v4, 0, 0, 0);
    if (result == -ENOSYS) {
        errno = ENOSYS;
        way_unavailable("x32");
    }
    end_with("x32-connect", result);
}

static void x32_sendto(void)
{
    long result = WAY_CALL(0x40000000 | SYS_sendto, raw_datagram(), target.text, target.length, 0,
                           &target.v4, sizeof target.v4);
    if (result == -ENOSYS) {
        errno = ENOSYS;
        way_unavailable("x32");
    }
    end_with("x32-sendto", result);
}
#else
static void other_machine(void)
{
    errno = ENOSYS;
    way_unavailable("int80");
}
#define int80_connect           other_machine
#define int80_sendto            other_machine
#define int80_sendmsg           other_machine
#define int80_sendmmsg          other_machine
#define int80_socketcall        other_machine
#define int80_socketcall_sendto other_machine
#define x32_connect             other_machine
#define x32_sendto              other_machine
#endif

const struct way instruction_ways[] = {
    {"syscall_connect", syscall_connect},
    {"syscall_sendto", syscall_sendto},
    {"syscall_sendmsg", syscall_sendmsg},
    {"syscall_sendmmsg", syscall_sendmmsg},
    {"syscall_high_bits_connect", syscall_high_bits_connect},
    {"syscall_high_bits_sendto", syscall_high_bits_sendto},
    {"syscall_high_bits_descriptor", syscall_high_bits_descriptor},
    {"instruction_connect", instruction_connect},
    {"instruction_connect6", instruction_connect6},
    {"instruction_connect_110", instruction_connect_110},
    {"instruction_connect_128", instruction_connect_128},
    {"instruction_high_bits", instruction_high_bits},
    {"instruction_sendto", instruction_sendto},
    {"instruction_sendto6", instruction_sendto6},
    {"instruction_sendmsg", instruction_sendmsg},
    {"instruction_sendmmsg", instruction_sendmmsg},
    {"instruction_fastopen", instruction_fastopen},
    {"instruction_wrong_key", instruction_wrong_key},
    {"instruction_stale_registers", instruction_stale_registers},
    {"int80_connect", int80_connect},
    {"int80_sendto", int80_sendto},
    {"int80_sendmsg", int80_sendmsg},
    {"int80_sendmmsg", int80_sendmmsg},
    {"int80_socketcall", int80_socketcall},
    {"int80_socketcall_sendto", int80_socketcall_sendto},
    {"x32_connect", x32_connect},
    {"x32_sendto", x32_sendto},
    {0},
};

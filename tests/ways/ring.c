/* Ways by io_uring: the kernel makes the calls that are written into a ring. */
#include "way.h"
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>

/* The same call through libc's syscall(), which may be hooked, or by the machine's instruction. */
static long call_kernel(bool instruction, long number, long a, long b, long c, long d)
{
    if (instruction)
        return way_call(number, a, b, c, d, 0, 0);
    long result = syscall(number, a, b, c, d, 0L, 0L);
    return result < 0 ? -errno : result;
}

static int new_socket(bool instruction, int type)
{
    return instruction ? way_raw_socket(AF_INET, type, 0) : way_socket(AF_INET, type, 0);
}

static char *map_ring(int ring, size_t size, off_t what)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, what);
    way_need("mmap", at == MAP_FAILED ? -1 : 0);
    return at;
}

/* Makes a ring, submits ENTRY, and ends with its result. */
static _Noreturn void submit_entry(const char *what, const struct io_uring_sqe *entry,
                                   bool instruction, uint32_t flags)
{
    struct io_uring_params p = {.flags = flags, .sq_thread_idle = 100};
    long ring = call_kernel(instruction, SYS_io_uring_setup, 4, (long)&p, 0, 0);
    if (ring < 0)
        way_end("io_uring_setup", (int)-ring);
    char *sq = map_ring((int)ring, p.sq_off.array + p.sq_entries * 4, IORING_OFF_SQ_RING);
    char *cq = map_ring((int)ring, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe),
                        IORING_OFF_CQ_RING);
    struct io_uring_sqe *entries =
        (struct io_uring_sqe *)map_ring((int)ring, p.sq_entries * sizeof *entries, IORING_OFF_SQES);
    entries[0] = *entry;
    ((uint32_t *)(sq + p.sq_off.array))[0] = 0;
    atomic_store((_Atomic uint32_t *)(sq + p.sq_off.tail), 1);
    const uint32_t how =
        IORING_ENTER_GETEVENTS | (flags & IORING_SETUP_SQPOLL ? IORING_ENTER_SQ_WAKEUP : 0);
    long entered = call_kernel(instruction, SYS_io_uring_enter, ring, 1, 1, how);
    if (entered < 0)
        way_end("io_uring_enter", (int)-entered);
    const struct io_uring_cqe *done = (const struct io_uring_cqe *)(cq + p.cq_off.cqes);
    way_end(what, done->res < 0 ? -done->res : 0);
}

static void connect_by_ring(bool instruction, uint32_t flags)
{
    const struct io_uring_sqe entry = {.opcode = IORING_OP_CONNECT,
                                       .fd = new_socket(instruction, SOCK_STREAM),
                                       .addr = (uintptr_t)&target.v4,
                                       .off = sizeof target.v4};
    submit_entry("ring-connect", &entry, instruction, flags);
}

static void send_by_ring(bool instruction)
{
    struct iovec part = {target.text, target.length};
    struct msghdr message = {
        .msg_name = &target.v4, .msg_namelen = sizeof target.v4, .msg_iov = &part, .msg_iovlen = 1};
    const struct io_uring_sqe entry = {.opcode = IORING_OP_SENDMSG,
                                       .fd = new_socket(instruction, SOCK_DGRAM),
                                       .addr = (uintptr_t)&message,
                                       .len = 1};
    submit_entry("ring-sendmsg", &entry, instruction, 0);
}

static void ring_connect(void)
{
    connect_by_ring(false, 0);
}

static void ring_connect_instruction(void)
{
    connect_by_ring(true, 0);
}

/* A thread of the kernel submits the entries. */
static void ring_connect_thread(void)
{
    connect_by_ring(true, IORING_SETUP_SQPOLL);
}

static void ring_sendmsg(void)
{
    send_by_ring(false);
}

static void ring_sendmsg_instruction(void)
{
    send_by_ring(true);
}

static void ring_send_zerocopy(void)
{
    const struct io_uring_sqe entry = {.opcode = IORING_OP_SEND_ZC,
                                       .fd = new_socket(true, SOCK_DGRAM),
                                       .addr = (uintptr_t)target.text,
                                       .len = (uint32_t)target.length,
                                       .addr2 = (uintptr_t)&target.v4,
                                       .addr_len = sizeof target.v4};
    submit_entry("ring-send", &entry, true, 0);
}

static void ring_write_connected(void)
{
    const struct io_uring_sqe entry = {.opcode = IORING_OP_WRITE,
                                       .fd = way_connected(AF_INET),
                                       .addr = (uintptr_t)target.text,
                                       .len = (uint32_t)target.length};
    submit_entry("ring-write", &entry, true, 0);
}

const struct way ring_ways[] = {
    {"ring_connect", ring_connect},
    {"ring_connect_instruction", ring_connect_instruction},
    {"ring_connect_thread", ring_connect_thread},
    {"ring_sendmsg", ring_sendmsg},
    {"ring_sendmsg_instruction", ring_sendmsg_instruction},
    {"ring_send_zerocopy", ring_send_zerocopy},
    {"ring_write_connected", ring_write_connected},
    {0},
};

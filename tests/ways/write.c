/* Ways by the calls that write to a socket without an address. The machine's instruction has
 * connected the socket. */
#include "way.h"
#include <aio.h>
#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

static struct iovec text_part(void)
{
    return (struct iovec){target.text, target.length};
}

/* A pipe with the octets in it. */
static int filled_pipe(void)
{
    int ends[2];
    way_need("pipe", pipe(ends));
    way_need("write", write(ends[1], TEXT));
    return ends[0];
}

static void write_call(void)
{
    way_done("write", write(way_connected(AF_INET), TEXT));
}

static void write_call6(void)
{
    way_done("write", write(way_connected(AF_INET6), TEXT));
}

static void writev_call(void)
{
    struct iovec part = text_part();
    way_done("writev", writev(way_connected(AF_INET), &part, 1));
}

static void pwritev2_call(void)
{
    struct iovec part = text_part();
    way_done("pwritev2", pwritev2(way_connected(AF_INET), &part, 1, -1, 0));
}

static void send_call(void)
{
    way_done("send", send(way_connected(AF_INET), TEXT, 0));
}

static void send_zerocopy(void)
{
    int fd = way_connected(AF_INET), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on);
    way_done("send", send(fd, TEXT, MSG_ZEROCOPY));
}

static void sendto_null(void)
{
    way_done("sendto", sendto(way_connected(AF_INET), TEXT, 0, NULL, 0));
}

static void sendmsg_null(void)
{
    struct iovec part = text_part();
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    way_done("sendmsg", sendmsg(way_connected(AF_INET), &message, 0));
}

static void sendmmsg_null(void)
{
    struct iovec part = text_part();
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    way_done("sendmmsg", sendmmsg(way_connected(AF_INET), &message, 1, 0));
}

static void sendfile_call(void)
{
    int file = memfd_create("text", 0);
    off_t at = 0;
    way_need("write", write(file, TEXT));
    way_done("sendfile", sendfile(way_connected(AF_INET), file, &at, target.length));
}

static void splice_call(void)
{
    int from = filled_pipe();
    way_done("splice", splice(from, NULL, way_connected(AF_INET), NULL, target.length, 0));
}

static void vmsplice_call(void)
{
    struct iovec part = text_part();
    int ends[2];
    way_need("pipe", pipe(ends));
    way_need("vmsplice", vmsplice(ends[1], &part, 1, 0));
    way_done("splice", splice(ends[0], NULL, way_connected(AF_INET), NULL, target.length, 0));
}

static void tee_call(void)
{
    int from = filled_pipe(), ends[2];
    way_need("pipe", pipe(ends));
    way_need("tee", tee(from, ends[1], target.length, 0));
    way_done("splice", splice(ends[0], NULL, way_connected(AF_INET), NULL, target.length, 0));
}

static void dprintf_call(void)
{
    way_done("dprintf", dprintf(way_connected(AF_INET), "%s", target.text));
}

static void stdio_stream(void)
{
    FILE *stream = fdopen(way_connected(AF_INET), "w");
    fputs(target.text, stream);
    way_done("fflush", fflush(stream));
}

static void aio_write_call(void)
{
    struct aiocb request = {
        .aio_fildes = way_connected(AF_INET), .aio_buf = target.text, .aio_nbytes = target.length};
    const struct aiocb *list[] = {&request};
    way_need("aio_write", aio_write(&request));
    aio_suspend(list, 1, NULL);
    errno = aio_error(&request);
    way_done("aio_write", errno ? -1 : 0);
}

static void io_submit_call(void)
{
    aio_context_t context = 0;
    struct iocb request = {.aio_fildes = (uint32_t)way_connected(AF_INET),
                           .aio_lio_opcode = IOCB_CMD_PWRITE,
                           .aio_buf = (uintptr_t)target.text,
                           .aio_nbytes = target.length},
                *list[] = {&request};
    way_need("io_setup", syscall(SYS_io_setup, 1, &context));
    way_done("io_submit", syscall(SYS_io_submit, context, 1L, list));
}

/* Data on a TCP socket whose connect() has sent nothing yet: the write sends the SYN, with the data
 * in it. */
static void sendfile_fastopen(void)
{
    int fd = way_raw_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
        file = memfd_create("text", 0), on = 1;
    off_t at = 0;
    way_need("write", write(file, TEXT));
    way_need("TCP_FASTOPEN_CONNECT",
             setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on));
    WAY_CALL(SYS_connect, fd, &target.v4, sizeof target.v4, 0, 0, 0);
    way_done("sendfile", sendfile(fd, file, &at, target.length));
}

const struct way write_ways[] = {
    {"write", write_call},
    {"write6", write_call6},
    {"writev", writev_call},
    {"pwritev2", pwritev2_call},
    {"send", send_call},
    {"send_zerocopy", send_zerocopy},
    {"sendto_null", sendto_null},
    {"sendmsg_null", sendmsg_null},
    {"sendmmsg_null", sendmmsg_null},
    {"sendfile", sendfile_call},
    {"splice", splice_call},
    {"vmsplice", vmsplice_call},
    {"tee", tee_call},
    {"dprintf", dprintf_call},
    {"stdio_stream", stdio_stream},
    {"aio_write", aio_write_call},
    {"io_submit", io_submit_call},
    {"sendfile_fastopen", sendfile_fastopen},
    {0},
};

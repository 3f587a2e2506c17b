/* A client whose socket calls are operations of io_uring: uring HOST PORT requests a page and prints its body. If an
 * operation fails, the name of the errno is printed and the exit status is 1. */
#include "errno_names.h"
#include <liburing.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char REQUEST[] = "GET / HTTP/1.0\r\nHost: x\r\n\r\n";
static struct io_uring ring;

static int check(int result)
{
    if (result < 0) {
        printf("%s\n", errno_name(-result));
        exit(1);
    }
    return result;
}

/* Submits the operation that was prepared, and returns its result. */
static int submit_one(void)
{
    struct io_uring_cqe *done;
    check(io_uring_submit(&ring));
    check(io_uring_wait_cqe(&ring, &done));
    int result = done->res;
    io_uring_cqe_seen(&ring, done);
    return result;
}

static int open_socket(int family)
{
    io_uring_prep_socket(io_uring_get_sqe(&ring), family, SOCK_STREAM, 0, 0);
    int fd = submit_one();
    if (fd == -EINVAL) { /* Linux before 5.19 has no such operation */
        fd = socket(family, SOCK_STREAM, 0);
        return fd < 0 ? check(-errno) : fd;
    }
    return check(fd);
}

static int receive_some(int fd, char *data, size_t size)
{
    io_uring_prep_recv(io_uring_get_sqe(&ring), fd, data, size, 0);
    return check(submit_one());
}

int main(int argc, char **argv)
{
    static char reply[65536];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *address;
    if (argc != 3 || getaddrinfo(argv[1], argv[2], &hints, &address) != 0)
        return 2;
    check(io_uring_queue_init(8, &ring, 0));
    int fd = open_socket(address->ai_family);
    io_uring_prep_connect(io_uring_get_sqe(&ring), fd, address->ai_addr, address->ai_addrlen);
    check(submit_one());
    io_uring_prep_send(io_uring_get_sqe(&ring), fd, REQUEST, strlen(REQUEST), MSG_NOSIGNAL);
    check(submit_one());
    size_t len = 0;
    int n;
    while ((n = receive_some(fd, reply + len, sizeof(reply) - 1 - len)) > 0)
        len += (size_t)n;
    const char *body = strstr(reply, "\r\n\r\n");
    fputs(body ? body + 4 : reply, stdout);
    return 0;
}

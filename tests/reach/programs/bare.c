/* A program without a libc: nothing but the system calls of x86-64. bare ADDRESS PORT, with an IPv4 address, connects,
 * requests a page and prints its body. If a call fails, it prints the name of the errno and exits with 1. */
#include "errno_names.h"
#include <netinet/in.h>
#include <stdint.h>
#include <sys/syscall.h>

static const char REQUEST[] = "GET / HTTP/1.0\r\nHost: x\r\n\r\n";

static long system_call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

static _Noreturn void exit_with(int status)
{
    for (;;)
        system_call(SYS_exit_group, status, 0, 0);
}

static void print_text(const char *text, long len)
{
    system_call(SYS_write, 1, (long)text, len);
}

static long check(long result)
{
    if (result < 0) {
        const char *name = errno_name((int)-result);
        long len = 0;
        while (name[len])
            len++;
        print_text(name, len);
        print_text("\n", 1);
        exit_with(1);
    }
    return result;
}

static uint32_t number_at(const char **text)
{
    uint32_t n = 0;
    while (**text >= '0' && **text <= '9')
        n = n * 10 + (uint32_t)(*(*text)++ - '0');
    return n;
}

/* Prints what follows the empty line behind the header. */
static void print_body(long fd)
{
    static char data[65536];
    const char end[] = "\r\n\r\n";
    long n, at = 0;
    while ((n = check(system_call(SYS_read, fd, (long)data, sizeof(data)))) > 0) {
        long i = 0;
        for (; i < n && at < 4; i++)
            at = data[i] == end[at] ? at + 1 : data[i] == '\r';
        print_text(data + i, n - i);
    }
}

__attribute__((used)) static _Noreturn void run_program(long *stack)
{
    if (stack[0] != 3)
        exit_with(2);
    const char *host = (const char *)stack[2], *port = (const char *)stack[3];
    struct sockaddr_in address = {.sin_family = AF_INET};
    uint32_t number = 0;
    for (int i = 0; i < 4; i++, host += *host == '.')
        number = number << 8 | number_at(&host);
    address.sin_addr.s_addr = __builtin_bswap32(number);
    address.sin_port = __builtin_bswap16((uint16_t)number_at(&port));
    long fd = check(system_call(SYS_socket, AF_INET, SOCK_STREAM, 0));
    check(system_call(SYS_connect, fd, (long)&address, sizeof(address)));
    check(system_call(SYS_write, fd, (long)REQUEST, sizeof(REQUEST) - 1));
    print_body(fd);
    exit_with(0);
}

/* The kernel starts a program with the number of arguments and their addresses on the stack. */
__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call run_program\n");

/* Copies of what the arguments of a call point to: valid memory, none, and memory that ends in the middle. */
#include "user_memory.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE 65536 /* at least a page on any architecture */

/* Returns PAGE octets, followed by unmapped memory. */
static char *map_page(int protection)
{
    char *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(two != MAP_FAILED);
    two[PAGE - 1] = 'x';
    mprotect(two, PAGE, protection);
    munmap(two + PAGE, PAGE);
    return two;
}

Test(user_memory, readable_memory_is_read)
{
    char *at = map_page(PROT_READ), octets[64] = "";
    for (int round = 0; round < 2; round++) { /* checked, then remembered */
        cr_assert(s5_user_read(octets, at + PAGE - 64, 64));
        cr_assert_eq(octets[63], 'x');
        cr_assert_not(s5_user_read(octets, at + PAGE - 63, 64), "it ends beyond the page");
        cr_assert_not(s5_user_read(octets, NULL, 1));
        cr_assert_not(s5_user_read(octets, S5_USER_NOWHERE, 1));
        cr_assert_not(s5_user_may(at, SIZE_MAX, S5_USER_READ), "it wraps around");
        cr_assert(s5_user_read(octets, NULL, 0), "nothing is read of nothing");
        cr_assert(s5_user_may(at, PAGE, S5_USER_READ));
        cr_assert_not(s5_user_may(at, PAGE + 1, S5_USER_READ));
    }
}

Test(user_memory, writable_memory_is_written)
{
    char *at = map_page(PROT_READ | PROT_WRITE), *constant = map_page(PROT_READ);
    for (int round = 0; round < 2; round++) {
        cr_assert(s5_user_write(at + PAGE - 2, "ab", 2));
        cr_assert_arr_eq(at + PAGE - 2, "ab", 2);
        cr_assert_not(s5_user_write(at + PAGE - 1, "ab", 2));
        cr_assert_not(s5_user_write(constant, "ab", 2), "it is for reading alone");
        cr_assert(s5_user_may(constant, 2, S5_USER_READ), "which it is remembered for");
        cr_assert_not(s5_user_may(constant, 2, S5_USER_WRITE));
        cr_assert(s5_user_may(at, 2, S5_USER_WRITE));
        cr_assert(s5_user_write(NULL, "", 0));
    }
    errno = ERANGE;
    char *volatile nowhere = NULL; /* unknown to the compiler */
    cr_assert_not(s5_user_write(nowhere, "a", 1));
    cr_assert_eq(errno, ERANGE);
}

Test(user_memory, checks_change_no_memory)
{
    char *at = map_page(PROT_READ | PROT_WRITE);
    memset(at, 'y', PAGE);
    cr_assert(s5_user_may(at, PAGE, S5_USER_WRITE));
    cr_assert(s5_user_may(at + 1, PAGE - 1, S5_USER_WRITE));
    for (size_t i = 0; i < PAGE; i++)
        cr_assert_eq(at[i], 'y');
}

/* As the sandbox of a browser: a call that it does not expect ends the process. */
static void forbid_access_to_processes(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(user_memory, memory_is_checked_in_a_sandbox)
{
    char *at = map_page(PROT_READ | PROT_WRITE), *constant = map_page(PROT_READ), octet;
    forbid_access_to_processes();
    cr_assert(s5_user_read(&octet, at + PAGE - 1, 1));
    cr_assert_eq(octet, 'x');
    cr_assert_not(s5_user_read(&octet, at + PAGE, 1));
    cr_assert(s5_user_write(at + PAGE - 1, "a", 1));
    cr_assert_not(s5_user_write(constant, "a", 1));
    cr_assert_not(s5_user_write(at + PAGE, "a", 1));
}

Test(user_memory, addresses_have_a_length)
{
    struct sockaddr_storage to;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_scope_id = 7};
    const struct sockaddr *from = (const struct sockaddr *)&v6;
    char *at = map_page(PROT_READ);
    cr_assert_eq(s5_user_address(&to, from, sizeof v6), 0);
    cr_assert_eq(((struct sockaddr_in6 *)&to)->sin6_scope_id, 7);
    memset(&to, 0xff, sizeof to);
    cr_assert_eq(s5_user_address(&to, from, 24), 0);
    cr_assert_eq(((struct sockaddr_in6 *)&to)->sin6_scope_id, 0, "zeros follow");
    cr_assert_eq(s5_user_address(&to, NULL, 0), 0);
    cr_assert_eq(s5_user_address(&to, NULL, 16), -EFAULT);
    cr_assert_eq(s5_user_address(&to, from, sizeof to + 1), -EINVAL);
    cr_assert_eq(s5_user_address(&to, from, (socklen_t)-1), -EINVAL);
    cr_assert_eq(s5_user_address(&to, (struct sockaddr *)(at + PAGE - 16), 16), 0);
    cr_assert_eq(s5_user_address(&to, (struct sockaddr *)(at + PAGE - 16), 28), -EFAULT);
}

Test(user_memory, messages_have_a_name_and_parts)
{
    char *at = map_page(PROT_READ | PROT_WRITE), name[512] = "abc";
    struct sockaddr_storage copy;
    struct iovec iov = {NULL, 5};
    struct msghdr to, m = {.msg_name = name, .msg_namelen = 300, .msg_iov = &iov, .msg_iovlen = 1};
    cr_assert_eq(s5_user_message(&to, &copy, &m), 0);
    cr_assert_eq(to.msg_namelen, sizeof copy, "the kernel cuts it");
    cr_assert_eq(to.msg_name, &copy);
    cr_assert_arr_eq(&copy, "abc", 3);
    cr_assert_eq(s5_user_parts(&to), 0, "buffers themselves are the kernel's to read");
    m.msg_namelen = 0;
    cr_assert_eq(s5_user_message(&to, &copy, &m), 0);
    cr_assert_null(to.msg_name);
    m.msg_namelen = (socklen_t)-5;
    cr_assert_eq(s5_user_message(&to, &copy, &m), -EINVAL);
    m.msg_namelen = 16;
    m.msg_name = at + PAGE - 15;
    cr_assert_eq(s5_user_message(&to, &copy, &m), -EFAULT);
    cr_assert_eq(s5_user_message(&to, &copy, (struct msghdr *)(at + PAGE - 8)), -EFAULT);
    m.msg_iov = (struct iovec *)(at + PAGE - sizeof iov);
    cr_assert_eq(s5_user_parts(&m), 0);
    m.msg_iovlen = 2;
    cr_assert_eq(s5_user_parts(&m), -EFAULT);
    m.msg_iovlen = 1025;
    cr_assert_eq(s5_user_parts(&m), -EMSGSIZE);
    m.msg_iovlen = 1;
    m.msg_control = at + PAGE;
    m.msg_controllen = 1;
    cr_assert_eq(s5_user_parts(&m), -EFAULT);
}

Test(user_memory, results_are_truncated)
{
    char *at = map_page(PROT_READ | PROT_WRITE);
    socklen_t len = 0;
    cr_assert(s5_user_tell("abcdefgh", 8, (struct sockaddr *)(at + PAGE - 4), 4, &len));
    cr_assert_eq(len, 8);
    cr_assert_arr_eq(at + PAGE - 4, "abcd", 4);
    cr_assert_not(s5_user_tell("abcdefgh", 8, (struct sockaddr *)(at + PAGE - 4), 5, &len));
    cr_assert_not(s5_user_tell("abcdefgh", 8, (struct sockaddr *)at, 8, NULL));
}

Test(user_memory, strings_end_before_unmapped_memory)
{
    char *at = map_page(PROT_READ | PROT_WRITE);
    memset(at, 'a', PAGE);
    cr_assert_eq(s5_user_string(at, 100000), -EFAULT);
    cr_assert_eq(s5_user_string(at + PAGE - 5, 5), 5, "no more is asked for");
    at[PAGE - 1] = 0;
    cr_assert_eq(s5_user_string(at, 100000), PAGE - 1);
    cr_assert_eq(s5_user_string(at, 10), 10);
    cr_assert_eq(s5_user_string(NULL, 10), -EFAULT);
}

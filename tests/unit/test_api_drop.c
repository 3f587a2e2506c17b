/* SOCKSinit() is declared here, because the constructor in <socks5client/socks.h> would run before these tests. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int SOCKSinit(char *program);
void SOCKSbegin(void);

Test(drop, init_reads_the_configuration)
{
    char program[] = "/usr/bin/client";
    setenv("SOCKS5_SERVER", "socks5h://127.0.0.1:1080", 1);
    SOCKSbegin();
    cr_assert_eq(SOCKSinit(program), 0);
    cr_assert_eq(SOCKSinit(NULL), 0, "and once more");
}

Test(drop, init_refuses_an_invalid_configuration)
{
    char program[] = "client";
    setenv("SOCKS5_SERVER", "socks5h://127.0.0.1:99999", 1);
    close(STDERR_FILENO);
    errno = 0;
    cr_assert_eq(SOCKSinit(program), -1);
    cr_assert_eq(errno, EACCES);
    cr_assert_eq(SOCKSinit(NULL), -1);
}

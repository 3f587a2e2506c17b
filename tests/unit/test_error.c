/* Error texts without strerror(), compared with those of strerror(). */
#include "error.h"
#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

/* Every errno that this project's functions are documented to return. */
static const int returned[] = {
    EACCES,    EADDRINUSE,   EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN,     EALREADY,    EBADF,
    ECANCELED, ECONNABORTED, ECONNREFUSED,  ECONNRESET,   EEXIST,     EFAULT,      EFBIG,
    EHOSTDOWN, EHOSTUNREACH, EINPROGRESS,   EINTR,        EINVAL,     EIO,         EISCONN,
    EISDIR,    ELOOP,        EMFILE,        EMSGSIZE,     ENETDOWN,   ENETRESET,   ENETUNREACH,
    ENFILE,    ENOBUFS,      ENOENT,        ENOEXEC,      ENOMEM,     ENOPROTOOPT, ENOSPC,
    ENOSYS,    ENOTCONN,     ENOTDIR,       ENOTSOCK,     EOPNOTSUPP, EPERM,       EPIPE,
    EPROTO,    ESTALE,       ETIMEDOUT,     ENAMETOOLONG, EOVERFLOW,  E2BIG,
};

Test(error, every_errno_returned_has_the_text_of_strerror)
{
    for (size_t i = 0; i < sizeof returned / sizeof *returned; i++) {
        const char *text = s5_error_text(returned[i]);
        cr_expect_str_neq(text, "error", "errno %d has no text", returned[i]);
        cr_expect_eq(strcasecmp(text, strerror(returned[i])), 0, "%s", text);
    }
}

Test(error, no_text_belongs_to_another_errno)
{
    for (int error = 1; error < 200; error++) {
        const char *text = s5_error_text(error);
        if (strcmp(text, "error") != 0)
            cr_expect_eq(strcasecmp(text, strerror(error)), 0, "%d: %s", error, text);
        cr_expect(!isupper((unsigned char)text[0]), "%s", text);
    }
}

Test(error, the_sign_does_not_matter)
{
    for (int error = 1; error < 200; error++)
        cr_expect_eq(s5_error_text(error), s5_error_text(-error));
    cr_assert_str_eq(s5_error_text(-ECONNREFUSED), "connection refused");
}

Test(error, other_numbers_have_the_text_error)
{
    cr_assert_str_eq(s5_error_text(INT_MAX), "error");
    cr_assert_str_eq(s5_error_text(INT_MIN), "error");
    cr_assert_str_eq(s5_error_text(9999), "error");
    cr_assert_str_eq(s5_error_text(0), "success");
}

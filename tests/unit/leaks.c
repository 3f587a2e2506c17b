/* Makes a test that leaks memory fail under AddressSanitizer. The sanitizer's own check runs at the end of the
 * test's process, when criterion already has the result and ignores the exit status. */
#include <criterion/criterion.h>
#include <sanitizer/lsan_interface.h>

void __real_criterion_internal_test_main(void (*body)(void));
void __wrap_criterion_internal_test_main(void (*body)(void));

static void (*test_body)(void);

static void run_body_and_check(void)
{
    test_body();
    __lsan_do_leak_check(); /* ends the process if there are leaks; only its first call checks */
}

void __wrap_criterion_internal_test_main(void (*body)(void))
{
    test_body = body;
    __real_criterion_internal_test_main(run_body_and_check);
}

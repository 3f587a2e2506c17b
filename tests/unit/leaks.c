/* With the address sanitizer: a test that leaks fails. The sanitizer's own check comes at the end of a
 * test's process, when criterion has its result already and asks for no exit status. */
#include <criterion/criterion.h>
#include <sanitizer/lsan_interface.h>

void __real_criterion_internal_test_main(void (*body)(void));
void __wrap_criterion_internal_test_main(void (*body)(void));

static void (*the_body)(void);

static void body_and_check(void)
{
    the_body();
    __lsan_do_leak_check(); /* where there are any, it ends the process; it is made once */
}

void __wrap_criterion_internal_test_main(void (*body)(void))
{
    the_body = body;
    __real_criterion_internal_test_main(body_and_check);
}

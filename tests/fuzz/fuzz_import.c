/* A file of another program with any content. The first octet selects the program. The result is a configuration that
 * can be loaded. Except for Dante it has at least one rule. */
#include "import.h"
#include "load.h"
#include <stdio.h>

static struct s5_policy p;

static void check_loads(const char *text)
{
    struct s5_fault fault = {""};
    if (load_config(&p, text, strlen(text), NULL, &fault) < 0) {
        fprintf(stderr, "%s\n%s\n", fault.text, text);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = malloc(size);
    CHECK(text);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    import_guess("some.conf", text);
    unsigned lost = 0;
    char *converted = import_convert(IMPORT_PROXYCHAINS + data[0] % 4, "fuzz", text, &lost);
    if (converted) {
        check_loads(converted);
        CHECK(p.n_rules >= 1 || data[0] % 4 == IMPORT_DANTE - 1);
    }
    free(converted);
    free(text);
    return 0;
}

/* A file of another program of any content, its first octet telling which: what it is converted to
 * is a configuration that loads, and that leads nothing past a server but what it says. */
#include "import.h"
#include "load.h"
#include <stdio.h>

static struct s5_policy p;

static void check(const char *text)
{
    struct s5_fault fault = {""};
    if (load(&p, text, strlen(text), NULL, &fault) < 0) {
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
        check(converted);
        CHECK(p.n_rules >= 1 || data[0] % 4 == IMPORT_DANTE - 1);
    }
    free(converted);
    free(text);
    return 0;
}

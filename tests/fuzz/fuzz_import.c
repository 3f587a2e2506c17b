/* A file of another program of any content, its first octet telling which: what it is converted to
 * is a configuration that loads, and that leads nothing past a server but what it says. */
#include "import.h"
#include "source.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what))                                                                               \
            abort();                                                                               \
    } while (0)

static struct s5_policy p;

static void load(const char *text)
{
    static int fd = -1;
    static const struct s5_environment env = {.home = "/nowhere"};
    char path[32];
    struct s5_fault fault = {""};
    size_t size = strlen(text);
    if (fd < 0)
        fd = memfd_create("config", MFD_CLOEXEC);
    CHECK(fd >= 0 && fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0);
    CHECK(pwrite(fd, text, size, 0) == (ssize_t)size);
    s5_format(path, sizeof path, "/proc/self/fd/%d", fd);
    s5_policy_init(&p);
    if (s5_config_load(&p, path, &env, &fault) < 0) {
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
        load(converted);
        CHECK(p.n_rules >= 1 || data[0] % 4 == IMPORT_DANTE - 1);
    }
    free(converted);
    free(text);
    return 0;
}

/* Names that are not ASCII. libc leaves them to libidn2, which it loads when the first such name is used, and so does
 * this file. Most programs never use one. */
#include "idn.h"
#include "real.h"
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <wchar.h>

#define SONAME    "libidn2.so.0"
#define NO_MEMORY (-100) /* IDN2_MALLOC; 0: success; all others: the name is invalid */

/* The type of both functions: a name and flags in, a name for free() out. */
typedef int convert(const char *name, char **ret, int flags);

static convert *to_ascii, *to_locale;

static void load_library(void)
{
    void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return;
    *(void **)&to_ascii = dlsym(handle, "idn2_lookup_ul");
    *(void **)&to_locale = dlsym(handle, "idn2_to_unicode_lzlz");
}

/* 0, or an error of libidn2; -1: libidn2 is missing. */
static int run_conversion(convert *const *which, const char *name, char **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int saved = errno, r = -1;
    pthread_once(&once, load_library);
    if (*which)
        r = (*which)(name, ret, 0);
    errno = saved;
    return r;
}

/* Whether NAME is text in the locale's encoding without a backslash, which would be read as the beginning of an octet
 * in decimal. */
static bool is_text(const char *name)
{
    /* Looked up, not linked: each linked symbol costs every program at its start. */
    size_t (*next)(wchar_t *, const char *, size_t, mbstate_t *) =
        (size_t(*)(wchar_t *, const char *, size_t, mbstate_t *))s5_real_find("mbrtowc");
    mbstate_t state;
    const char *end = name + strlen(name);
    int saved = errno;
    memset(&state, 0, sizeof state);
    while (next && name < end) {
        wchar_t c;
        size_t n = next(&c, name, (size_t)(end - name), &state);
        if (n == 0 || n > (size_t)(end - name) || c == L'\\')
            break;
        name += n;
    }
    errno = saved;
    return name == end;
}

static bool is_ascii(const char *name)
{
    while (*name && (unsigned char)*name < 0x80)
        name++;
    return !*name;
}

int s5_idn_encode(const char *name, char **ret)
{
    *ret = NULL;
    if (is_ascii(name))
        return 0;
    int r = is_text(name) ? run_conversion(&to_ascii, name, ret) : -1;
    return r == 0 ? 0 : r == NO_MEMORY ? EAI_MEMORY : EAI_IDN_ENCODE;
}

int s5_idn_decode(const char *name, char **ret)
{
    *ret = NULL;
    for (const char *at = name; at; at = strchr(at, '.')) {
        at += *at == '.';
        if (strncasecmp(at, "xn--", 4) == 0)
            return run_conversion(&to_locale, name, ret) == NO_MEMORY ? EAI_MEMORY : 0;
    }
    return 0;
}

/* A formatter without printf(), which follows the locale and may allocate: a hook may run in a signal handler or
 * between fork and exec. It writes what fits and drops the rest. */
#include "format.h"
#include <stdbool.h>
#include <string.h>

struct text {
    char *buf;       /* not owned */
    size_t capacity; /* size of BUF without the NUL */
    size_t used;     /* octets written, at most CAPACITY */
};

/* Wraps a va_list so that its address can be passed: where va_list is an array type, &args of a parameter is not a
 * pointer to it. */
struct arguments {
    va_list list;
};

static void put_octets(struct text *t, const char *data, size_t n)
{
    if (n > t->capacity - t->used)
        n = t->capacity - t->used;
    if (n)
        memcpy(t->buf + t->used, data, n);
    t->used += n;
}

static void put_number(struct text *t, unsigned long long v, unsigned base, bool negative)
{
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    if (negative)
        digits[--at] = '-';
    put_octets(t, digits + at, sizeof digits - at);
}

static void put_signed(struct text *t, long long v)
{
    put_number(t, v < 0 ? 0ULL - (unsigned long long)v : (unsigned long long)v, 10, v < 0);
}

/* Appends S up to its NUL or MAX octets, whichever comes first. MAX is a printf precision: a negative value means
 * no limit. */
static void put_string(struct text *t, const char *s, int max)
{
    if (s)
        put_octets(t, s, max < 0 ? strlen(s) : strnlen(s, (size_t)max));
    else
        put_octets(t, "(null)", 6);
}

/* Formats one conversion; FORMAT points behind the '%'. Returns the address after the conversion, or NULL for an
 * unknown one. */
static const char *put_conversion(struct text *t, const char *format, struct arguments *args)
{
    switch (*format) {
    case 's':
        put_string(t, va_arg(args->list, const char *), -1);
        return format + 1;
    case 'd':
        put_signed(t, va_arg(args->list, int));
        return format + 1;
    case 'u':
        put_number(t, va_arg(args->list, unsigned), 10, false);
        return format + 1;
    case 'x':
        put_number(t, va_arg(args->list, unsigned), 16, false);
        return format + 1;
    case 'c':
        put_octets(t, &(char){(char)va_arg(args->list, int)}, 1);
        return format + 1;
    case '%':
        put_octets(t, "%", 1);
        return format + 1;
    default:
        break;
    }
    if (strncmp(format, ".*s", 3) == 0) {
        int max = va_arg(args->list, int);
        put_string(t, va_arg(args->list, const char *), max);
    } else if (strncmp(format, "lld", 3) == 0)
        put_signed(t, va_arg(args->list, long long));
    else if (strncmp(format, "llu", 3) == 0)
        put_number(t, va_arg(args->list, unsigned long long), 10, false);
    else
        return NULL;
    return format + 3;
}

size_t s5_vformat(char *buf, size_t size, const char *format, va_list args)
{
    if (size == 0)
        return 0;
    struct text t = {.buf = buf, .capacity = size - 1};
    struct arguments a;
    va_copy(a.list, args);
    while (*format) {
        const char *percent = strchrnul(format, '%');
        put_octets(&t, format, (size_t)(percent - format));
        if (!*percent)
            break;
        format = put_conversion(&t, percent + 1, &a);
        if (!format) { /* the size of its argument is unknown, so later arguments cannot be found */
            put_octets(&t, percent, strlen(percent));
            break;
        }
    }
    va_end(a.list);
    buf[t.used] = '\0';
    return t.used;
}

size_t s5_format(char *buf, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = s5_vformat(buf, size, format, args);
    va_end(args);
    return n;
}

/* Returns the length of the UTF-8 character at AT, in N octets. 0: there is none, or it is a control character. */
static size_t measure_character(const unsigned char *at, size_t n)
{
    size_t len = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    if (len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool control = at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0);
    bool too_long = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    return control || too_long ? 0 : len;
}

void s5_format_clean(char *text, size_t len)
{
    for (size_t i = 0, n; i < len; i += n + !n) {
        n = measure_character((const unsigned char *)text + i, len - i);
        if (n == 0)
            text[i] = '?';
    }
}

/* The formatter, compared with snprintf(), and log lines: complete, single, and impossible to forge. */
#include "edge.h"
#include "log.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define EXPECT_AS_PRINTF(...)                                                                      \
    do {                                                                                           \
        char ours[256], theirs[256];                                                               \
        size_t n = s5_format(ours, sizeof ours, __VA_ARGS__);                                      \
        snprintf(theirs, sizeof theirs, __VA_ARGS__);                                              \
        cr_expect_str_eq(ours, theirs);                                                            \
        cr_expect_eq(n, strlen(theirs));                                                           \
    } while (0)

Test(format, equals_printf_for_known_conversions)
{
    EXPECT_AS_PRINTF("plain");
    EXPECT_AS_PRINTF("%s|%s|", "one", "");
    EXPECT_AS_PRINTF("%d %d %d %d", 0, -1, INT_MAX, INT_MIN);
    EXPECT_AS_PRINTF("%u %u %x %x", 0u, UINT_MAX, 0xdeadbeefu, 0u);
    EXPECT_AS_PRINTF("%lld %lld %llu", LLONG_MIN, LLONG_MAX, ULLONG_MAX);
    EXPECT_AS_PRINTF("%c%c%%%c", 'a', '\n', 'b');
    EXPECT_AS_PRINTF("%.*s|%.*s|%.*s|", 3, "abcdef", 0, "abc", 9, "abc");
    EXPECT_AS_PRINTF("%.*s|", -1, "negative precision");
    EXPECT_AS_PRINTF("%s%d%s%u%s%x", "a", 1, "b", 2u, "c", 3u);
}

Test(format, null_is_shown)
{
    char buf[64];
    const char *volatile null = NULL;
    s5_format(buf, sizeof buf, "<%s> <%.*s>", null, 2, null);
    cr_assert_str_eq(buf, "<(null)> <(null)>");
}

Test(format, an_unknown_conversion_and_the_rest_are_copied)
{
    char buf[64];
    const char *volatile formats[] = {"%d %ld %s!", "%d %5d %s!", "%d %p%%",   "%d %",
                                      "%d %.3s",    "%d %lx",     "%d %.*d %s"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
        s5_format(buf, sizeof buf, formats[i], 7);
#pragma GCC diagnostic pop
        cr_expect_eq(buf[0], '7');
        cr_expect_str_eq(buf + 1, formats[i] + 2);
    }
}

/* What may move the cursor of a terminal becomes "?"; other UTF-8 is kept. */
Test(format, clean)
{
    static const char *const texts[][2] = {
        {"plain ~", "plain ~"},
        {"a\033[2Jb\r\n\t\177", "a?[2Jb????"},
        {"\302\233[2J", "??[2J"},              /* CSI of C1 in UTF-8 */
        {"\302\240\303\244", "\302\240\303\244"}, /* the first one after C1, and a letter */
        {"\2332J", "?2J"},                     /* CSI in one octet */
        {"\340\202\233", "???"},               /* CSI, longer than necessary */
        {"\360\200\202\233", "????"},
        {"\342\202\254\360\237\230\200", "\342\202\254\360\237\230\200"},
        {"\342\202", "??"},                    /* cut */
        {"\377\300\200", "???"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char buf[64];
        strcpy(buf, texts[i][0]);
        s5_format_clean(buf, strlen(buf));
        cr_expect_str_eq(buf, texts[i][1], "%zu: %s", i, buf);
    }
}

Test(format, is_truncated_to_the_buffer)
{
    char whole[64];
    size_t len = s5_format(whole, sizeof whole, "%s=%d %x %c%%", "value", -123456, 0xabcu, 'z');
    for (size_t size = 1; size <= len + 2; size++) {
        char *buf = (char *)edge(size);
        memset(buf, '#', size);
        size_t n = s5_format(buf, size, "%s=%d %x %c%%", "value", -123456, 0xabcu, 'z');
        cr_expect_eq(n, size - 1 < len ? size - 1 : len);
        cr_expect_eq(memcmp(buf, whole, n), 0);
        cr_expect_eq(buf[n], '\0');
    }
    cr_expect_eq(s5_format((char *)edge(0), 0, "%s", "no room"), 0);
}

Test(format, a_string_is_not_read_past_its_precision)
{
    const char *xyz = (const char *)edge_copy("xyz", 3);
    char buf[8];
    cr_assert_eq(s5_format(buf, sizeof buf, "%.*s", 3, xyz), 3);
    cr_assert_str_eq(buf, "xyz");
}

struct sink {
    char text[4 * S5_LOG_LINE];
    size_t used;
    unsigned lines;
};

static void sink_write(void *user, const char *line, size_t len)
{
    struct sink *sink = user;
    memcpy(sink->text + sink->used, line, len);
    sink->used += len;
    sink->lines++;
    errno = EIO; /* must not be visible to the caller */
}

static struct sink sink;

static struct s5_log sink_log(enum s5_log_level level, int32_t pid)
{
    sink = (struct sink){0};
    return (struct s5_log){.level = level, .write = sink_write, .user = &sink, .pid = pid};
}

Test(log, a_line_names_the_process_and_the_level)
{
    struct s5_log log = sink_log(S5_LOG_DEBUG, 4711);
    s5_log(&log, S5_LOG_ERROR, "one %d", 1);
    cr_assert_str_eq(sink.text, "socksify[4711]: error: one 1\n");
    cr_assert_eq(sink.lines, 1);
    log = sink_log(S5_LOG_DEBUG, 0);
    s5_log(&log, S5_LOG_WARNING, "%s", "two");
    s5_log(&log, S5_LOG_INFO, "three");
    s5_log(&log, S5_LOG_DEBUG, "four");
    cr_assert_str_eq(sink.text, "socksify: warning: two\nsocksify: info: three\n"
                                "socksify: debug: four\n");
}

Test(log, levels_above_are_left_out)
{
    for (unsigned level = S5_LOG_NONE; level <= S5_LOG_DEBUG; level++) {
        struct s5_log log = sink_log(level, 1);
        for (unsigned line = S5_LOG_NONE; line <= S5_LOG_DEBUG; line++)
            s5_log(&log, line, "x");
        cr_expect_eq(sink.lines, level, "level %u", level);
    }
}

Test(log, without_a_destination_nothing_happens)
{
    struct s5_log log = {.level = S5_LOG_DEBUG};
    s5_log(&log, S5_LOG_ERROR, "x");
    s5_log(NULL, S5_LOG_ERROR, "x");
}

Test(log, errno_is_preserved)
{
    struct s5_log log = sink_log(S5_LOG_ERROR, 1);
    errno = ENOTTY;
    s5_log(&log, S5_LOG_ERROR, "x");
    cr_assert_eq(errno, ENOTTY);
    cr_assert_eq(sink.lines, 1);
}

Test(log, control_octets_cannot_forge_a_line)
{
    struct s5_log log = sink_log(S5_LOG_INFO, 1);
    char all[256];
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    s5_log(&log, S5_LOG_INFO, "%.*s\n%c", 255, all, '\r');
    const char *text = strstr(sink.text, "info: ") + 6;
    for (int i = 1; i < 256; i++)
        cr_expect_eq((unsigned char)text[i - 1], i < 0x20 || i >= 0x7f ? '?' : i);
    cr_assert_str_eq(text + 255, "??\n");
    cr_assert_eq(strchr(sink.text, '\n'), sink.text + sink.used - 1);
}

Test(log, a_long_line_is_truncated_with_its_newline)
{
    char big[2 * S5_LOG_LINE];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    struct s5_log log = sink_log(S5_LOG_INFO, 1);
    s5_log(&log, S5_LOG_INFO, "%s", big);
    cr_assert_eq(sink.lines, 1);
    cr_assert_eq(sink.used, S5_LOG_LINE);
    cr_assert_eq(sink.text[S5_LOG_LINE - 1], '\n');
    cr_assert_eq(sink.text[S5_LOG_LINE - 2], 'x');
}

Test(log, level_names)
{
    cr_assert_eq(s5_log_level_parse("none"), S5_LOG_NONE);
    cr_assert_eq(s5_log_level_parse("error"), S5_LOG_ERROR);
    cr_assert_eq(s5_log_level_parse("warning"), S5_LOG_WARNING);
    cr_assert_eq(s5_log_level_parse("info"), S5_LOG_INFO);
    cr_assert_eq(s5_log_level_parse("debug"), S5_LOG_DEBUG);
    cr_assert_eq(s5_log_level_parse("Debug"), -1);
    cr_assert_eq(s5_log_level_parse("debugx"), -1);
    cr_assert_eq(s5_log_level_parse(""), -1);
    cr_assert_eq(s5_log_level_parse(NULL), -1);
}

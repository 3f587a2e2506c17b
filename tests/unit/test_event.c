/* Log lines about connections, and JSON lines. They are complete and valid whatever they contain, and cannot be
 * forged. */
#include "event.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static char line[8192];

static void keep_line(void *user, const char *text, size_t len)
{
    (void)user;
    cr_assert(len < sizeof line && text[len - 1] == '\n' && !memchr(text, '\n', len - 1));
    memcpy(line, text, len - 1);
    line[len - 1] = '\0';
    errno = EIO;
}

static int64_t fixed_clock(void)
{
    return 1234567890123;
}

static struct s5_log make_log(bool json)
{
    return (struct s5_log){.level = S5_LOG_INFO,
                           .write = keep_line,
                           .pid = 7,
                           .json = json,
                           .program = "curl",
                           .now = fixed_clock};
}

static struct s5_addr www = {.kind = S5_ADDR_NAME, .name_len = 3, .port = 80, .name = "www"};

Test(event, text)
{
    struct s5_log log = make_log(false);
    struct s5_event event = {.command = "connect",
                             .to = &www,
                             .rule = "r",
                             .server = "s",
                             .result = "connected",
                             .ms = 12};
    errno = ENOENT;
    s5_event_log(&log, S5_LOG_INFO, &event);
    cr_assert_str_eq(line, "socksify[7]: info: curl: connect www:80 by rule \"r\" via \"s\": connected"
                           " in 12 ms");
    cr_assert(errno == ENOENT);
    event = (struct s5_event){.command = "udp", .result = "failed", .phase = "reply", .ms = -1};
    s5_event_log(&log, S5_LOG_INFO, &event);
    cr_assert_str_eq(line, "socksify[7]: info: curl: udp: failed (waiting for reply, no reply)");
}

Test(event, json)
{
    struct s5_log log = make_log(true);
    struct s5_event event = {.command = "connect",
                             .to = &www,
                             .rule = "a \"b\\\n\xc3\xa4",
                             .result = "connected",
                             .ms = 0};
    errno = ENOENT;
    s5_event_log(&log, S5_LOG_INFO, &event);
    cr_assert_str_eq(line, "{\"time\":1234567890123,\"pid\":7,\"program\":\"curl\",\"level\":\"info\","
                           "\"command\":\"connect\",\"to\":\"www:80\",\"rule\":\"a \\\"b\\\\???\","
                           "\"result\":\"connected\",\"ms\":0}");
    cr_assert(errno == ENOENT);
    s5_log(&log, S5_LOG_ERROR, "refused \"%s\"", "x");
    cr_assert_str_eq(line, "{\"time\":1234567890123,\"pid\":7,\"program\":\"curl\","
                           "\"level\":\"error\",\"message\":\"refused \\\"x\\\"\"}");
    cr_assert(errno == ENOENT);
    log.now = NULL;
    s5_log(&log, S5_LOG_ERROR, "x");
    cr_assert(strncmp(line, "{\"pid\":7,", 9) == 0);
}

Test(event, nothing_is_written_above_the_level)
{
    struct s5_log log = make_log(true);
    line[0] = '\0';
    s5_event_log(&log, S5_LOG_DEBUG, &(struct s5_event){.command = "x", .result = "y"});
    s5_log(&log, S5_LOG_DEBUG, "x");
    cr_assert(line[0] == '\0');
}

/* Everything has its maximum length and needs escaping. The line must still be complete JSON. */
Test(event, long_texts_are_truncated_and_the_line_is_complete)
{
    static char quotes[5000];
    struct s5_log log = make_log(true);
    struct s5_addr to = {.kind = S5_ADDR_NAME, .name_len = 255, .port = 65535};
    memset(quotes, '"', sizeof quotes - 1);
    memset(to.name, '"', 255);
    log.program = quotes;
    struct s5_event event = {quotes, &to, quotes, quotes, quotes, quotes, quotes, quotes, INT64_MAX};
    s5_event_log(&log, S5_LOG_INFO, &event);
    size_t open = 0;
    for (const char *at = line; *at; at++) {
        if (*at == '\\')
            at++;
        else
            open += *at == '"';
    }
    cr_assert(open % 2 == 0 && line[strlen(line) - 1] == '}');
    cr_assert(strstr(line, ",\"ms\":9223372036854775807}"));
    s5_log(&log, S5_LOG_ERROR, "%s", quotes);
    cr_assert(strcmp(line + strlen(line) - 3, "\"\"}") == 0);
    log.json = false;
    s5_event_log(&log, S5_LOG_INFO, &event);
    cr_assert(strlen(line) < S5_LOG_LINE);
}

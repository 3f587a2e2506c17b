/* Theory of operation: rows are printed one by one, because a check may take time. */
#include "report.h"
#include "plain_text.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const finding_names[] = {
    [FINDING_OK] = "ok",           [FINDING_FAIL] = "FAIL",       [FINDING_NO] = "no",
    [FINDING_UNKNOWN] = "unknown", [FINDING_WARNING] = "warning",
};

void report_string(const char *text)
{
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            printf("\\%c", *at);
        else if (*at < ' ' || *at == 0x7f)
            printf("\\u%04x", *at);
        else if (*at >= 0x80)
            fputs("\\ufffd", stdout);
        else
            putchar(*at);
    }
    putchar('"');
}

void report_begin(struct report *r, bool json)
{
    *r = (struct report){.json = json};
    if (json)
        fputs("{\"checks\": [", stdout);
}

void report_group(struct report *r, const char *name, const char *of)
{
    if (r->json) {
        printf("%s%s\n {\"about\": \"%s\", \"name\": ", r->in_group ? "]}" : "", r->any_group ? "," : "", name);
        report_string(of);
        fputs(", \"rows\": [", stdout);
    } else {
        printf("%s%s ", r->any_group ? "\n" : "", name);
        plain_text_print(stdout, of);
        putchar('\n');
    }
    r->in_group = r->any_group = true;
    r->any_row = r->spare = r->bad = false;
}

void report_row(struct report *r, const char *check, enum finding finding, const char *advice, const char *detail, ...)
{
    char text[1024];
    va_list args;
    va_start(args, detail);
    vsnprintf(text, sizeof(text), detail, args);
    va_end(args);
    r->bad |= finding == FINDING_FAIL;
    if (r->spare && finding == FINDING_FAIL)
        finding = FINDING_WARNING;
    r->failed |= finding == FINDING_FAIL;
    if (r->json) {
        printf("%s\n  {\"check\": \"%s\", \"finding\": \"%s\", \"detail\": ", r->any_row ? "," : "", check,
               finding == FINDING_FAIL ? "fail" : finding_names[finding]);
        report_string(text);
        if (advice) {
            fputs(", \"advice\": ", stdout);
            report_string(advice);
        }
        putchar('}');
    } else {
        printf("  %-16s %-8s ", check, finding_names[finding]);
        plain_text_print(stdout, text);
        putchar('\n');
        if (advice) {
            printf("  %-16s %-8s ", "", "  ->");
            plain_text_print(stdout, advice);
            putchar('\n');
        }
    }
    r->any_row = true;
    fflush(stdout);
}

int report_end(struct report *r)
{
    if (r->json)
        printf("%s\n], \"result\": \"%s\"}\n", r->in_group ? "]}" : "", r->failed ? "fail" : "ok");
    else
        printf("\n%s\n", r->failed ? "At least one check failed, see FAIL above." : "All required checks passed.");
    fflush(stdout);
    return r->failed ? 1 : 0;
}

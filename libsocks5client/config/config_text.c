/* Works around the lexer of libconfuse 3.3, which does not allow faults to be reported with the right line:
 * - Each comment counts as two more lines, and a comment in a list is an error.
 * - '*' and '+' outside quotes are dropped without an error: {*} becomes the empty list.
 * - "${" takes everything up to the next '}' of the file.
 * - An unterminated string is reported at the end of the file, an unterminated section is not reported.
 * - Some unfinished text is printed on standard output.
 *
 * So the text is scanned once before, by the rules of that lexer: comments are replaced by blanks, the other cases are
 * faults. The scan also notes the line on which each section opens, because libconfuse remembers where it ends. */
#include "config_text.h"
#include <stdbool.h>
#include <string.h>

struct scan {
    char *at, *end;
    int line;        /* of AT */
    unsigned depth;  /* of braces */
    int opened;      /* line of the outermost open brace, while DEPTH is not 0 */
    const char *why; /* the fault, or NULL; LINE is then the line on which it begins */
    struct s5_config_text *ret;
};

/* Stores the fault WHY, at LINE, and ends the scan. */
static void set_scan_fault(struct scan *s, int line, const char *why)
{
    s->line = line;
    s->why = why;
    s->at = s->end;
}

static bool is_at_text(const struct scan *s, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(s->end - s->at) >= len && memcmp(s->at, text, len) == 0;
}

/* Replaces an octet of a comment by a blank; a newline is kept. */
static void blank_octet(struct scan *s)
{
    if (*s->at == '\n')
        s->line++;
    else
        *s->at = ' ';
    s->at++;
}

static void blank_line_comment(struct scan *s)
{
    while (s->at < s->end && *s->at != '\n')
        blank_octet(s);
}

static void blank_block_comment(struct scan *s)
{
    int line = s->line;
    blank_octet(s);
    blank_octet(s);
    while (s->at < s->end && !is_at_text(s, "*/"))
        blank_octet(s);
    if (s->at == s->end) {
        set_scan_fault(s, line, "comment without end");
        return;
    }
    blank_octet(s);
    blank_octet(s);
}

/* Skips "${NAME}", which must end on its line and, if QUOTED, before the closing quote. */
static void skip_variable(struct scan *s, bool quoted)
{
    while (s->at < s->end && *s->at != '}' && *s->at != '\n' && !(quoted && *s->at == '"'))
        s->at++;
    if (s->at == s->end || *s->at != '}')
        set_scan_fault(s, s->line, "\"${\" without \"}\"; single quotes make it literal");
    else
        s->at++;
}

/* Returns the value of the digit C, or -1 where it is not a digit of BASE. */
static int parse_digit(char c, int base)
{
    int value = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : base;
    return value < base ? value : -1;
}

/* Skips what follows a backslash in double quotes. "\0" and "\x0" are faults: they would end the text early. */
static void skip_escape(struct scan *s)
{
    bool hex = *s->at == 'x', zero = true;
    const char *c = s->at + hex;
    int base = hex ? 16 : 8, most = hex ? 2 : 3, n = 0;
    for (; n < most && c + n < s->end && parse_digit(c[n], base) >= 0; n++)
        zero = zero && parse_digit(c[n], base) == 0;
    if (n > 0 && zero) {
        set_scan_fault(s, s->line, "NUL in a string");
        return;
    }
    s->line += *s->at == '\n';
    s->at++;
}

static void skip_string(struct scan *s)
{
    char quote = *s->at++;
    int line = s->line;
    while (s->at < s->end && *s->at != quote) {
        if (quote == '"' && is_at_text(s, "${")) {
            skip_variable(s, true);
        } else if (*s->at == '\\' && s->at + 1 < s->end) {
            s->at++;
            if (quote == '"') {
                skip_escape(s);
            } else {
                s->line += *s->at == '\n';
                s->at++;
            }
        } else {
            s->line += *s->at == '\n';
            s->at++;
        }
    }
    if (s->at < s->end)
        s->at++;
    else if (!s->why)
        set_scan_fault(s, line, "string without its closing quote");
}

static void scan_brace(struct scan *s)
{
    struct s5_config_text *ret = s->ret;
    if (*s->at++ == '}') {
        s->depth -= s->depth > 0;
        return;
    }
    if (s->depth++ > 0)
        return;
    s->opened = s->line;
    if (ret->n_sections == S5_CONFIG_SECTIONS)
        set_scan_fault(s, s->line, "too many sections");
    else
        ret->section_lines[ret->n_sections++] = s->line;
}

static void skip_other(struct scan *s)
{
    if (is_at_text(s, "+="))
        s->at += 2;
    else if (*s->at == '*' || *s->at == '+')
        set_scan_fault(s, s->line, *s->at == '*' ? "\"*\" must be quoted" : "\"+\" must be quoted");
    else if (strchr(" \t\r\n=(),", *s->at)) {
        s->line += *s->at == '\n';
        s->at++;
    } else /* a word; '/' and '$' do not end it */
        while (s->at < s->end && !strchr(" #\"'\t\n\r={}()+,*", *s->at))
            s->at++;
}

const char *s5_config_text_prepare(struct s5_config_text *ret, char *text, size_t len)
{
    struct scan s = {.at = text, .end = text + len, .line = 1, .ret = ret};
    ret->n_sections = 0;
    while (s.at < s.end) {
        if (*s.at == '#' || is_at_text(&s, "//"))
            blank_line_comment(&s);
        else if (is_at_text(&s, "/*"))
            blank_block_comment(&s);
        else if (*s.at == '"' || *s.at == '\'')
            skip_string(&s);
        else if (*s.at == '{' || *s.at == '}')
            scan_brace(&s);
        else if (is_at_text(&s, "${"))
            skip_variable(&s, false);
        else
            skip_other(&s);
    }
    if (!s.why && s.depth > 0)
        set_scan_fault(&s, s.opened, "\"{\" without \"}\"");
    ret->lines = s.line;
    return s.why;
}

void s5_config_text_hide_password(char *fault)
{
    char *at = strstr(fault, "'password");
    if (!at)
        return;
    at += 1 + strspn(at + 1, "abcdefghijklmnopqrstuvwxyz-_");
    if (at[0] && at[0] != '\'')
        memcpy(at, "'", 2);
}

/* libconfuse 3.3 has habits that a file whose mistakes must be found by their line cannot live
 * with: each comment counts as two more lines, comments inside of lists are errors, '*' and '+'
 * outside of quotes vanish without a word ({*} becomes the empty list), "${" takes everything up to
 * the next '}' of the file, strings that never end are reported at the end of the file and sections
 * that never end not at all, and some unfinished text is echoed to standard output. So the text is
 * walked over once before, by the rules of its lexer: comments become blanks, the rest of these
 * becomes a fault. The line every section opens on is noted on the way, since libconfuse remembers
 * where it ends. */
#include "config_text.h"
#include <stdbool.h>
#include <string.h>

struct scan {
    char *at, *end;
    int line;        /* of AT */
    unsigned depth;  /* of braces */
    int opened;      /* line of the outermost one, while DEPTH is not 0 */
    const char *why; /* what is wrong, or NULL; LINE then is where it begins */
    struct s5_config_text *ret;
};

static void fault(struct scan *s, int line, const char *why)
{
    s->line = line;
    s->why = why;
    s->at = s->end;
}

static bool looking_at(const struct scan *s, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(s->end - s->at) >= len && memcmp(s->at, text, len) == 0;
}

static void blank(struct scan *s)
{
    if (*s->at == '\n')
        s->line++;
    else
        *s->at = ' ';
    s->at++;
}

static void line_comment(struct scan *s)
{
    while (s->at < s->end && *s->at != '\n')
        blank(s);
}

static void block_comment(struct scan *s)
{
    int line = s->line;
    blank(s);
    blank(s);
    while (s->at < s->end && !looking_at(s, "*/"))
        blank(s);
    if (s->at == s->end) {
        fault(s, line, "comment without end");
        return;
    }
    blank(s);
    blank(s);
}

/* "${NAME}", on one line and, inside of quotes, before their end. */
static void variable(struct scan *s, bool quoted)
{
    while (s->at < s->end && *s->at != '}' && *s->at != '\n' && !(quoted && *s->at == '"'))
        s->at++;
    if (s->at == s->end || *s->at != '}')
        fault(s, s->line, "\"${\" without \"}\"; between single quotes it stands for itself");
    else
        s->at++;
}

static int digit(char c, int base)
{
    int value = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : base;
    return value < base ? value : -1;
}

/* Behind a backslash in double quotes: "\0" and "\x0" would end the text early. */
static void escape(struct scan *s)
{
    bool hex = *s->at == 'x', zero = true;
    const char *c = s->at + hex;
    int base = hex ? 16 : 8, most = hex ? 2 : 3, n = 0;
    for (; n < most && c + n < s->end && digit(c[n], base) >= 0; n++)
        zero = zero && digit(c[n], base) == 0;
    if (n > 0 && zero) {
        fault(s, s->line, "a NUL in a text");
        return;
    }
    s->line += *s->at == '\n';
    s->at++;
}

static void string(struct scan *s)
{
    char quote = *s->at++;
    int line = s->line;
    while (s->at < s->end && *s->at != quote) {
        if (quote == '"' && looking_at(s, "${")) {
            variable(s, true);
        } else if (*s->at == '\\' && s->at + 1 < s->end) {
            s->at++;
            if (quote == '"') {
                escape(s);
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
        fault(s, line, "text without its closing quote");
}

static void brace(struct scan *s)
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
        fault(s, s->line, "too many sections");
    else
        ret->section_lines[ret->n_sections++] = s->line;
}

static void other(struct scan *s)
{
    if (looking_at(s, "+="))
        s->at += 2;
    else if (*s->at == '*' || *s->at == '+')
        fault(s, s->line, *s->at == '*' ? "\"*\" needs its quotes" : "\"+\" needs its quotes");
    else if (strchr(" \t\r\n=(),", *s->at)) {
        s->line += *s->at == '\n';
        s->at++;
    } else /* a word, which '/' and '$' do not end */
        while (s->at < s->end && !strchr(" #\"'\t\n\r={}()+,*", *s->at))
            s->at++;
}

const char *s5_config_text_prepare(struct s5_config_text *ret, char *text, size_t len)
{
    struct scan s = {.at = text, .end = text + len, .line = 1, .ret = ret};
    ret->n_sections = 0;
    while (s.at < s.end) {
        if (*s.at == '#' || looking_at(&s, "//"))
            line_comment(&s);
        else if (looking_at(&s, "/*"))
            block_comment(&s);
        else if (*s.at == '"' || *s.at == '\'')
            string(&s);
        else if (*s.at == '{' || *s.at == '}')
            brace(&s);
        else if (looking_at(&s, "${"))
            variable(&s, false);
        else
            other(&s);
    }
    if (!s.why && s.depth > 0)
        fault(&s, s.opened, "\"{\" without \"}\"");
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

void s5_config_text_flatten(char *fault)
{
    for (char *c = fault; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

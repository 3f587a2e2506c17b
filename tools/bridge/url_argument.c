/* Every user of the machine can read the command line of a process in /proc. The password is therefore overwritten in
 * argv as soon as the option is parsed. The process continues with a copy. */
#include "url_argument.h"
#include <stdlib.h>
#include <string.h>

/* The copies. They are needed until the process ends. */
struct copy {
    struct copy *next;
    char url[];
};
static struct copy *copies;

/* What separates URLs: blanks those of several servers, commas those of a chain. */
#define BETWEEN ", \t\n"

/* Strips the first URL of TEXT. Returns where it ends. */
static char *strip_word(char *text)
{
    size_t word = strcspn(text, BETWEEN);
    char *scheme = memmem(text, word, "://", 3), *authority = scheme ? scheme + 3 : text;
    size_t len = strcspn(authority, "/?#" BETWEEN);
    char *at = memrchr(authority, '@', len), *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    if (!colon)
        return text + word;
    size_t rest = strlen(at), cut = (size_t)(at - colon);
    memmove(colon, at, rest);
    explicit_bzero(colon + rest, cut);
    return text + word - cut;
}

void url_argument_strip(char *urls)
{
    while (*urls) {
        urls = strip_word(urls);
        urls += strspn(urls, BETWEEN);
    }
}

char *url_argument_take(char *argument)
{
    struct copy *copy = malloc(sizeof(*copy) + strlen(argument) + 1);
    if (!copy)
        return argument;
    strcpy(copy->url, argument);
    copy->next = copies;
    copies = copy;
    url_argument_strip(argument);
    return copy->url;
}

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

void url_argument_strip(char *url)
{
    char *scheme = strstr(url, "://");
    char *authority = scheme ? scheme + 3 : url;
    char *at = memrchr(authority, '@', strcspn(authority, "/?#"));
    char *colon = at ? memchr(authority, ':', (size_t)(at - authority)) : NULL;
    if (!colon)
        return;
    size_t len = strlen(at), cut = (size_t)(at - colon);
    memmove(colon, at, len);
    explicit_bzero(colon + len, cut);
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

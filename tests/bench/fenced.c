/* Runs a command within a fence, without the preload object and without a companion. */
#include "fence.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct s5_filter_options how = {.listens = false};
    int r = argc > 1 ? s5_fence_install(&how, false, NULL) : 0;
    if (r < 0) {
        fprintf(stderr, "no fence: %s\n", strerror(-r));
        return 125;
    }
    if (argc > 1)
        execvp(argv[1], argv + 1);
    return 127;
}

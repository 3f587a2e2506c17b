/* Does nothing. With an argument it waits until it is ended. */
#include <unistd.h>

int main(int argc, char **argv)
{
    (void)argv;
    while (argc > 1)
        pause();
    return 0;
}

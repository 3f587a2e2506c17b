/* A library with a RUNPATH of its own, which opens plug-ins for load_plugin.c. */
#include <dlfcn.h>

extern void *opener_open(const char *name, int mode);

void *opener_open(const char *name, int mode)
{
    void *handle = dlopen(name, mode);
    __asm__ volatile("" : "+r"(handle)); /* no tail call: libc must find this library by the return address */
    return handle;
}

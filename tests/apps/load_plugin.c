/* Opens plug-ins. The first word says what is done:
 *   facts OPENER PLUGIN             prints what dlopen(), dlmopen() and their relatives return
 *   open HOW PLUGIN HOST PORT       opens the plug-in and lets it connect; HOW: local, global, deep, apart
 *   often PLUGIN                    opens and closes the plug-in a hundred times, after the line READY
 * OPENER is the library of plugin_opener.c, whose RUNPATH names the folder of the plug-in. */
#include "app.h"
#include <dlfcn.h>
#include <link.h>

union symbol {
    void *object;
    void *(*open_by)(const char *name, int mode);
    int (*read_banner)(const char *host, const char *port);
};

static void *symbol_of(void *handle, const char *name)
{
    void *found = dlsym(handle, name);
    if (!found)
        FAIL("%s", dlerror());
    return found;
}

static void *open_fine(const char *path, int mode)
{
    void *handle = dlopen(path, mode);
    if (!handle)
        FAIL("%s", dlerror());
    return handle;
}

/* Prints the result of what was called last. */
static void print_result(const char *what, void *handle)
{
    const char *error = dlerror();
    struct link_map *map;
    if (!handle) {
        printf("%s: error: %s\n", what, error ? error : "none");
        return;
    }
    if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0)
        FAIL("%s: %s", what, dlerror());
    printf("%s: %s%s%s\n", what, map->l_name, error ? ", and an error: " : "", error ? error : "");
}

static void print_symbol(const char *what, const void *address)
{
    Dl_info info;
    CHECK(dladdr(address, &info) != 0);
    printf("%s: %s of %s\n", what, info.dli_sname, info.dli_fname);
}

/* RUNPATH and $ORIGIN are those of the library that calls dlopen(). */
static void print_callers(const char *opener, const char *plugin)
{
    void *library = open_fine(opener, RTLD_NOW);
    union symbol opener_open = {symbol_of(library, "opener_open")};
    const char *name = strrchr(plugin, '/') + 1;
    char origin[256];
    snprintf(origin, sizeof origin, "$ORIGIN/%s", name);
    print_result("by name, from the program", dlopen(name, RTLD_NOW));
    print_result("by $ORIGIN, from the program", dlopen(origin, RTLD_NOW));
    print_result("by name, from the library", opener_open.open_by(name, RTLD_LAZY));
    print_result("by $ORIGIN, from the library", opener_open.open_by(origin, RTLD_LAZY | RTLD_DEEPBIND));
    CHECK(dlclose(opener_open.open_by(name, RTLD_NOW)) == 0);
    CHECK(dlclose(library) == 0);
}

static void print_modes(const char *plugin)
{
    print_result("no file", dlopen("/no/such/plugin.so", RTLD_NOW));
    print_result("no ELF file", dlopen("/etc/passwd", RTLD_NOW | RTLD_DEEPBIND));
    print_result("no mode", dlopen(plugin, 0));
    print_result("the flag alone", dlopen(plugin, RTLD_DEEPBIND));
    print_result("the program", dlopen(NULL, RTLD_NOW));
    print_result("global", dlopen(plugin, RTLD_NOW | RTLD_GLOBAL));
    print_symbol("its function", symbol_of(RTLD_DEFAULT, "plugin_read_banner"));
    print_result("loaded already", dlopen(plugin, RTLD_NOW | RTLD_NOLOAD | RTLD_DEEPBIND));
    print_result("not loaded", dlopen("libutil.so.1", RTLD_NOW | RTLD_NOLOAD));
    print_symbol("the C library", symbol_of(dlopen("libc.so.6", RTLD_NOW), "getpid"));
}

static void print_namespaces(const char *plugin)
{
    Lmid_t id = -1;
    print_result("base, the program", dlmopen(LM_ID_BASE, NULL, RTLD_NOW));
    print_result("base, no file", dlmopen(LM_ID_BASE, "/no/such/plugin.so", RTLD_NOW));
    print_result("base, a plug-in", dlmopen(LM_ID_BASE, plugin, RTLD_NOW | RTLD_DEEPBIND));
    print_result("new, the program", dlmopen(LM_ID_NEWLM, NULL, RTLD_NOW));
    print_result("new, global", dlmopen(LM_ID_NEWLM, plugin, RTLD_NOW | RTLD_GLOBAL));
    print_result("new, no file", dlmopen(LM_ID_NEWLM, "/no/such/plugin.so", RTLD_NOW));
    print_result("new, no mode", dlmopen(LM_ID_NEWLM, plugin, 0));
    void *base = dlmopen(LM_ID_BASE, plugin, RTLD_NOW);
    CHECK(base && dlinfo(base, RTLD_DI_LMID, &id) == 0 && id == LM_ID_BASE);
}

static void print_facts(char **arg)
{
    dlerror();
    print_callers(arg[0], arg[1]);
    print_modes(arg[1]);
    print_namespaces(arg[1]);
}

static void open_and_connect(char **arg)
{
    static const struct {
        const char *how;
        int mode;
    } modes[] = {{"local", 0}, {"global", RTLD_GLOBAL}, {"deep", RTLD_DEEPBIND}, {"apart", RTLD_LOCAL}};
    int mode = RTLD_NOW;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(arg[0], modes[i].how) == 0)
            mode |= modes[i].mode;
    void *handle = strcmp(arg[0], "apart") == 0 ? dlmopen(LM_ID_NEWLM, arg[1], mode) : open_fine(arg[1], mode);
    if (!handle)
        FAIL("%s", dlerror());
    union symbol plugin_read_banner = {symbol_of(handle, "plugin_read_banner")};
    int failed = plugin_read_banner.read_banner(arg[2], arg[3]);
    if (failed)
        FAIL("call %d of the plug-in failed", failed);
    CHECK(dlclose(handle) == 0);
}

static void open_often(char **arg)
{
    CHECK(dlclose(open_fine(arg[0], RTLD_NOW | RTLD_DEEPBIND)) == 0);
    CHECK(write(1, "READY\n", 6) == 6);
    for (int i = 0; i < 100; i++)
        CHECK(dlclose(open_fine(arg[0], RTLD_NOW | RTLD_DEEPBIND)) == 0);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "facts") == 0)
        print_facts(argv + 2);
    else if (argc == 6 && strcmp(argv[1], "open") == 0)
        open_and_connect(argv + 2);
    else if (argc == 3 && strcmp(argv[1], "often") == 0)
        open_often(argv + 2);
    else
        FAIL("usage: see the source");
    return 0;
}

/* Ways by functions that are found past the preloaded object: by handles, namespaces of the loader,
 * and calls at moments when the object is not there yet or not any more. */
#include "way.h"

typedef int connect_function(int, const struct sockaddr *, socklen_t);
typedef ssize_t send_function(int, const void *, size_t, int, const struct sockaddr *, socklen_t);

static int stream_socket(void)
{
    return way_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
}

static void *libc_handle(void)
{
    void *handle = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    way_need("dlopen", handle ? 0 : -1);
    return handle;
}

static void handle_connect(void)
{
    connect_function *found = way_function(libc_handle(), "connect", NULL);
    way_done("connect", found(stream_socket(), V4));
}

static void handle_sendto(void)
{
    send_function *found = way_function(libc_handle(), "sendto", NULL);
    way_done("sendto", found(way_socket(AF_INET, SOCK_DGRAM, 0), TEXT, 0, V4));
}

static void handle_getaddrinfo(void)
{
    int (*found)(const char *, const char *, const void *, void **) =
        way_function(libc_handle(), "getaddrinfo", NULL);
    void *result;
    way_end("getaddrinfo", found(target.name, NULL, NULL, &result) ? ENOENT : 0);
}

static void handle_syscall(void)
{
    long (*found)(long, ...) = way_function(libc_handle(), "syscall", NULL);
    way_done("syscall", found(SYS_connect, stream_socket(), &target.v4, sizeof target.v4));
}

static void handle_version(void)
{
    connect_function *found = way_function(libc_handle(), "connect", "GLIBC_2.2.5");
    way_done("connect", found(stream_socket(), V4));
}

/* The first object of the program that has the function. */
static void default_connect(void)
{
    connect_function *found = way_function(RTLD_DEFAULT, "connect", NULL);
    way_done("connect", found(stream_socket(), V4));
}

static void program_handle_connect(void)
{
    connect_function *found = way_function(dlopen(NULL, RTLD_NOW), "connect", NULL);
    way_done("connect", found(stream_socket(), V4));
}

static void other_name_connect(void)
{
    connect_function *found = way_function(RTLD_DEFAULT, "__connect", NULL);
    way_done("__connect", found(stream_socket(), V4));
}

/* --- the plug-in --- */

static _Noreturn void use_plugin(void *handle, const char *function)
{
    if (!handle) {
        dprintf(2, "%s\n", dlerror());
        way_end("dlopen", EACCES);
    }
    int (*run)(const void *, unsigned) = way_function(handle, function, NULL);
    const void *to =
        strcmp(function, "plugin_resolve") == 0 ? (void *)target.name : (void *)&target.v4;
    way_done(function, run(to, sizeof target.v4));
}

static void *plugin_by_dlopen(int flags)
{
    return dlopen(way_program("libways_plugin.so"), RTLD_NOW | flags);
}

static void plugin_connect(void)
{
    use_plugin(plugin_by_dlopen(0), "plugin_connect");
}

static void deepbind_connect(void)
{
    use_plugin(plugin_by_dlopen(RTLD_DEEPBIND), "plugin_connect");
}

static void deepbind_send(void)
{
    use_plugin(plugin_by_dlopen(RTLD_DEEPBIND), "plugin_send");
}

static void deepbind_resolve(void)
{
    use_plugin(plugin_by_dlopen(RTLD_DEEPBIND), "plugin_resolve");
}

static void *plugin_by_dlmopen(void)
{
    return dlmopen(LM_ID_NEWLM, way_program("libways_plugin.so"), RTLD_NOW);
}

static void dlmopen_connect(void)
{
    use_plugin(plugin_by_dlmopen(), "plugin_connect");
}

static void dlmopen_send(void)
{
    use_plugin(plugin_by_dlmopen(), "plugin_send");
}

static void dlmopen_resolve(void)
{
    use_plugin(plugin_by_dlmopen(), "plugin_resolve");
}

/* The plug-in and libc alone, in a namespace of their own. */
static void dlmopen_libc(void)
{
    void *handle = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    if (!handle)
        way_end("dlmopen", EACCES);
    connect_function *found = way_function(handle, "connect", NULL);
    found(stream_socket(), V4);
    way_end("connect", 0);
}

/* An auditor of the loader is in a namespace of its own. Its constructor sends. */
static void loader_audit(void)
{
    setenv("LD_AUDIT", way_program("libways_plugin.so"), 1);
    setenv("WAYS_TOKEN", way_arguments("none")[2], 1);
    execv("/proc/self/exe", way_arguments("nothing"));
    way_end("execv", errno);
}

static void preloaded_plugin(void)
{
    setenv("LD_PRELOAD", way_program("libways_plugin.so"), 1);
    setenv("WAYS_TOKEN", way_arguments("none")[2], 1);
    execv("/proc/self/exe", way_arguments("nothing"));
    way_end("execv", errno);
}

/* --- moments --- */

static void send_now(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    sendto(fd, TEXT, 0, V4);
    close(fd);
}

/* Before the constructors of all objects: called from main.c. */
static void early_connect(void)
{
    way_done("connect", connect(stream_socket(), V4));
}

static void early_sendto(void)
{
    send_now();
    way_end("sendto", 0);
}

static void early_resolve(void)
{
    int (*found)(const char *, const char *, const void *, void **) =
        way_function(RTLD_DEFAULT, "getaddrinfo", NULL);
    void *result;
    way_end("getaddrinfo", found(target.name, NULL, NULL, &result) ? ENOENT : 0);
}

static bool send_at_end;

__attribute__((destructor(101))) static void send_in_destructor(void)
{
    if (send_at_end)
        send_now();
}

static void late_destructor(void)
{
    send_at_end = true;
    exit(0);
}

static void late_atexit(void)
{
    atexit(send_now);
    exit(0);
}

static void late_quick_exit(void)
{
    at_quick_exit(send_now);
    quick_exit(0);
}

const struct way library_ways[] = {
    {"handle_connect", handle_connect},
    {"handle_sendto", handle_sendto},
    {"handle_getaddrinfo", handle_getaddrinfo},
    {"handle_syscall", handle_syscall},
    {"handle_version", handle_version},
    {"default_connect", default_connect},
    {"program_handle_connect", program_handle_connect},
    {"other_name_connect", other_name_connect},
    {"plugin_connect", plugin_connect},
    {"deepbind_connect", deepbind_connect},
    {"deepbind_send", deepbind_send},
    {"deepbind_resolve", deepbind_resolve},
    {"dlmopen_connect", dlmopen_connect},
    {"dlmopen_send", dlmopen_send},
    {"dlmopen_resolve", dlmopen_resolve},
    {"dlmopen_libc", dlmopen_libc},
    {"loader_audit", loader_audit},
    {"preloaded_plugin", preloaded_plugin},
    {"early_connect", early_connect},
    {"early_sendto", early_sendto},
    {"early_resolve", early_resolve},
    {"late_destructor", late_destructor},
    {"late_atexit", late_atexit},
    {"late_quick_exit", late_quick_exit},
    {0},
};

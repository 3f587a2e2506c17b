/* Ways by starting programs: programs that the preloaded object cannot be in, and programs that are
 * judged as another file than the one that runs. */
#include "way.h"
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <wordexp.h>

extern char **environ;

/* Arguments for a program that takes the token alone. */
static char **token_arguments(void)
{
    static char *arguments[3];
    arguments[0] = (char *)"way";
    arguments[1] = way_arguments("none")[2];
    return arguments;
}

static char *command_line(const char *program)
{
    static char line[640];
    bool itself = strcmp(program, "ways") == 0;
    snprintf(line, sizeof line, "exec %s%s %u", way_program(program), itself ? " udp4_sendto" : "",
             target.token);
    return line;
}

static _Noreturn void wait_and_end(const char *call, pid_t child)
{
    if (child > 0)
        waitpid(child, NULL, 0);
    way_end(call, child > 0 ? 0 : errno);
}

static _Noreturn void execute(const char *program, bool instruction)
{
    const char *path = way_program(program);
    way_need("program", access(path, X_OK));
    if (instruction)
        errno = (int)-WAY_CALL(SYS_execve, path, token_arguments(), environ, 0, 0, 0);
    else
        execve(path, token_arguments(), environ);
    way_end("execve", errno);
}

static void exec_static(void)
{
    execute("ways_static", false);
}

static void exec_static_instruction(void)
{
    execute("ways_static", true);
}

static void exec_bare(void)
{
    execute("ways_bare", false);
}

static void exec_bare_instruction(void)
{
    execute("ways_bare", true);
}

static void exec_i386(void)
{
    execute("ways_bare32", false);
}

static void exec_i386_instruction(void)
{
    execute("ways_bare32", true);
}

static void exec_static_syscall(void)
{
    way_done("execve", syscall(SYS_execve, way_program("ways_static"), token_arguments(), environ));
}

static void exec_static_fexecve(void)
{
    way_done("fexecve",
             fexecve(open(way_program("ways_static"), O_RDONLY), token_arguments(), environ));
}

/* The program has no path. */
static void exec_static_memory(void)
{
    static char octets[1 << 22];
    int from = open(way_program("ways_static"), O_RDONLY), to = memfd_create("program", 0);
    ssize_t n = read(from, octets, sizeof octets);
    way_need("memfd", write(to, octets, (size_t)n));
    way_done("fexecve", fexecve(to, token_arguments(), environ));
}

static void exec_static_execveat(void)
{
    way_done("execveat",
             execveat(AT_FDCWD, way_program("ways_static"), token_arguments(), environ, 0));
}

/* The folder and the path together are longer than PATH_MAX, the path alone is not. */
static void exec_long_path(void)
{
    static char path[4096];
    char folder[512];
    size_t n = 0;
    snprintf(folder, sizeof folder, "%s", way_program(""));
    while (n + 2 < sizeof path - 32)
        n += (size_t)snprintf(path + n, sizeof path - n, "./");
    snprintf(path + n, sizeof path - n, "ways_static");
    int at = open(folder, O_PATH | O_DIRECTORY);
    way_done("execveat", execveat(at, path, token_arguments(), environ, 0));
}

/* The program reads the environment that it is given. */
static void exec_cleared(void)
{
    execve("/proc/self/exe", way_arguments("udp4_sendto"), way_empty_environment);
    way_end("execve", errno);
}

static void exec_cleared_instruction(void)
{
    long result = WAY_CALL(SYS_execve, "/proc/self/exe", way_arguments("udp4_sendto"),
                           way_empty_environment, 0, 0, 0);
    way_end("execve", (int)-result);
}

/* The variable of the loader alone is passed on. */
static void exec_preload_alone(void)
{
    char variable[600], *environment[] = {variable, NULL};
    const char *preload = getenv("LD_PRELOAD");
    snprintf(variable, sizeof variable, "LD_PRELOAD=%s", preload ? preload : "");
    execve("/proc/self/exe", way_arguments("udp4_sendto"), environment);
    way_end("execve", errno);
}

/* The loader runs the program. */
static void exec_loader(void)
{
    char *arguments[] = {(char *)"ld.so", (char *)way_program("ways"), (char *)"udp4_sendto",
                         token_arguments()[1], NULL};
    execve("/lib64/ld-linux-x86-64.so.2", arguments, way_empty_environment);
    way_end("execve", errno);
}

/* The loader is told to preload nothing. */
static void exec_loader_preload(void)
{
    char *arguments[] = {
        (char *)"ld.so",       (char *)"--preload",  (char *)"", (char *)way_program("ways"),
        (char *)"udp4_sendto", token_arguments()[1], NULL};
    execve("/lib64/ld-linux-x86-64.so.2", arguments, way_empty_environment);
    way_end("execve", errno);
}

/* A file that a program of another user may have set up: NAME in this process's folder. */
static const char *make_file(const char *folder, const char *name, const char *text, mode_t mode)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    way_need("open", fd);
    way_need("write", write(fd, text, strlen(text)));
    close(fd);
    chmod(path, mode);
    return path;
}

static void exec_script_static(void)
{
    char text[640];
    snprintf(text, sizeof text, "#!%s %u\n", way_program("ways_static"), target.token);
    const char *path = make_file(way_folder(), "script", text, 0755);
    char *arguments[] = {(char *)path, token_arguments()[1], NULL};
    execve(path, arguments, environ);
    way_end("execve", errno);
}

static void exec_script_deleted(void)
{
    char text[640];
    snprintf(text, sizeof text, "#!%s\n", way_program("ways_static"));
    const char *path = make_file(way_folder(), "script", text, 0755);
    char *arguments[] = {(char *)path, token_arguments()[1], NULL};
    int fd = open(path, O_RDONLY);
    unlink(path);
    fexecve(fd, arguments, environ);
    way_end("fexecve", errno);
}

/* A program of another user, for which the loader ignores LD_PRELOAD. */
static const char *setuid_program(void)
{
    static char octets[1 << 20], path[128];
    snprintf(path, sizeof path, "%s/setuid", way_folder());
    int from = open("/proc/self/exe", O_RDONLY),
        to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    way_need("open", to);
    way_need("write", write(to, octets, (size_t)read(from, octets, sizeof octets)));
    close(to);
    way_need("chown", chown(path, 1, 1));
    way_need("chmod", chmod(path, 04755));
    return path;
}

static void exec_setuid(void)
{
    execve(setuid_program(), way_arguments("udp4_sendto"), environ);
    way_end("execve", errno);
}

static void exec_setuid_instruction(void)
{
    long result =
        WAY_CALL(SYS_execve, setuid_program(), way_arguments("udp4_sendto"), environ, 0, 0, 0);
    way_end("execve", (int)-result);
}

/* Two folders of PATH have the program. The first one cannot be run, which only the kernel finds
 * out. */
static void set_path_of_two(void)
{
    char folder[128], line[512];
    snprintf(folder, sizeof folder, "%s/first", way_folder());
    mkdir(folder, 0755);
    make_file(folder, "twice", "#!/nonexistent\n", 0755);
    snprintf(folder, sizeof folder, "%s/second", way_folder());
    mkdir(folder, 0755);
    snprintf(line, sizeof line, "%s/twice", folder);
    unlink(line);
    way_need("symlink", symlink(way_program("ways_static"), line));
    snprintf(line, sizeof line, "%s/first:%s/second", way_folder(), way_folder());
    setenv("PATH", line, 1);
}

static void exec_second_hit(void)
{
    set_path_of_two();
    execvp("twice", token_arguments());
    way_end("execvp", errno);
}

static void exec_second_hit_spawn(void)
{
    pid_t child = -1;
    set_path_of_two();
    errno = posix_spawnp(&child, "twice", NULL, NULL, token_arguments(), environ);
    wait_and_end("posix_spawnp", child);
}

static void exec_second_hit_execvpe(void)
{
    set_path_of_two();
    execvpe("twice", token_arguments(), environ);
    way_end("execvpe", errno);
}

static void exec_second_hit_execlp(void)
{
    set_path_of_two();
    execlp("twice", "twice", token_arguments()[1], NULL);
    way_end("execlp", errno);
}

static void spawn_static(void)
{
    pid_t child = -1;
    errno = posix_spawn(&child, way_program("ways_static"), NULL, NULL, token_arguments(), environ);
    wait_and_end("posix_spawn", child);
}

/* "./twice" is a program that can be covered here, and a static one in the folder that the child
 * changes to. */
static void make_two_folders(void)
{
    char path[160], elsewhere[128];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", way_folder());
    mkdir(elsewhere, 0755);
    way_need("chdir", chdir(way_folder()));
    unlink("twice");
    way_need("symlink", symlink("/bin/true", "twice"));
    snprintf(path, sizeof path, "%s/twice", elsewhere);
    unlink(path);
    way_need("symlink", symlink(way_program("ways_static"), path));
}

static void spawn_in_folder(void)
{
    posix_spawn_file_actions_t actions;
    pid_t child = -1;
    make_two_folders();
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, "elsewhere");
    errno = posix_spawn(&child, "./twice", &actions, NULL, token_arguments(), environ);
    wait_and_end("posix_spawn", child);
}

static void spawn_in_open_folder(void)
{
    posix_spawn_file_actions_t actions;
    pid_t child = -1;
    make_two_folders();
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addfchdir_np(&actions, open("elsewhere", O_PATH));
    errno = posix_spawn(&child, "./twice", &actions, NULL, token_arguments(), environ);
    wait_and_end("posix_spawn", child);
}

/* A relative folder of PATH. */
static void spawn_path_in_folder(void)
{
    posix_spawn_file_actions_t actions;
    pid_t child = -1;
    make_two_folders();
    setenv("PATH", ".", 1);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, "elsewhere");
    errno = posix_spawnp(&child, "twice", &actions, NULL, token_arguments(), environ);
    wait_and_end("posix_spawnp", child);
}

static void spawn_pidfd(void)
{
    int (*spawn)(int *, const char *, const void *, const void *, char *const[], char *const[]) =
        way_function(RTLD_DEFAULT, "pidfd_spawn", NULL);
    int child = -1;
    siginfo_t ended;
    errno = spawn(&child, way_program("ways_static"), NULL, NULL, token_arguments(), environ);
    if (child >= 0)
        waitid(P_PIDFD, (id_t)child, &ended, WEXITED);
    way_end("pidfd_spawn", errno);
}

/* --- the shell --- */

static void shell_static(void)
{
    way_done("system", system(command_line("ways_static")));
}

static void shell_cleared(void)
{
    clearenv();
    way_done("system", system(command_line("ways")));
}

static void read_stream(const char *call, FILE *stream)
{
    char line[256];
    while (stream && fgets(line, sizeof line, stream))
        ;
    way_end(call, stream ? 0 : errno);
}

static void shell_popen_static(void)
{
    read_stream("popen", popen(command_line("ways_static"), "r"));
}

static void shell_popen_cleared(void)
{
    clearenv();
    read_stream("popen", popen(command_line("ways"), "r"));
}

/* The name that popen() has had in old programs. */
static void shell_old_popen_cleared(void)
{
    FILE *(*old)(const char *, const char *) = way_function(RTLD_DEFAULT, "_IO_popen", NULL);
    clearenv();
    read_stream("_IO_popen", old(command_line("ways"), "r"));
}

static _Noreturn void expand_words(const char *program)
{
    char words[700];
    wordexp_t found;
    snprintf(words, sizeof words, "$(%s)", command_line(program));
    int result = wordexp(words, &found, 0);
    way_end("wordexp", result ? EACCES : 0);
}

static void shell_wordexp_static(void)
{
    expand_words("ways_static");
}

static void shell_wordexp_cleared(void)
{
    clearenv();
    expand_words("ways");
}

static void shell_cleared_handle(void)
{
    int (*run)(const char *) =
        way_function(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), "system", NULL);
    clearenv();
    way_done("system", run(command_line("ways")));
}

const struct way program_ways[] = {
    {"exec_static", exec_static},
    {"exec_static_instruction", exec_static_instruction},
    {"exec_static_syscall", exec_static_syscall},
    {"exec_static_fexecve", exec_static_fexecve},
    {"exec_static_memory", exec_static_memory},
    {"exec_static_execveat", exec_static_execveat},
    {"exec_long_path", exec_long_path},
    {"exec_bare", exec_bare},
    {"exec_bare_instruction", exec_bare_instruction},
    {"exec_i386", exec_i386},
    {"exec_i386_instruction", exec_i386_instruction},
    {"exec_cleared", exec_cleared},
    {"exec_cleared_instruction", exec_cleared_instruction},
    {"exec_preload_alone", exec_preload_alone},
    {"exec_loader", exec_loader},
    {"exec_loader_preload", exec_loader_preload},
    {"exec_script_static", exec_script_static},
    {"exec_script_deleted", exec_script_deleted},
    {"exec_setuid", exec_setuid},
    {"exec_setuid_instruction", exec_setuid_instruction},
    {"exec_second_hit", exec_second_hit},
    {"exec_second_hit_spawn", exec_second_hit_spawn},
    {"exec_second_hit_execvpe", exec_second_hit_execvpe},
    {"exec_second_hit_execlp", exec_second_hit_execlp},
    {"spawn_static", spawn_static},
    {"spawn_in_folder", spawn_in_folder},
    {"spawn_in_open_folder", spawn_in_open_folder},
    {"spawn_path_in_folder", spawn_path_in_folder},
    {"spawn_pidfd", spawn_pidfd},
    {"shell_static", shell_static},
    {"shell_cleared", shell_cleared},
    {"shell_popen_static", shell_popen_static},
    {"shell_popen_cleared", shell_popen_cleared},
    {"shell_old_popen_cleared", shell_old_popen_cleared},
    {"shell_wordexp_static", shell_wordexp_static},
    {"shell_wordexp_cleared", shell_wordexp_cleared},
    {"shell_cleared_handle", shell_cleared_handle},
    {0},
};

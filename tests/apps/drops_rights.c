/* A child gives up its privileges and overwrites all memory and files that it shares with its parent. The parent
 * must still connect to the right targets. Another such child keeps using a name that was resolved before,
 * connections in flight, and its threads. */
#include "app.h"
#include <netdb.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { NOBODY = 65534 };
enum pattern { ZEROS, ONES, RANDOM, PATTERNS };
enum way { IN_PLACE, BY_SYSTEM_CALL, BEHIND_EXEC, BEHIND_VFORK, BEHIND_SHELL, WAYS };

static void look_up(const char *name, const char *port, struct peer *ret)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list;
    if (getaddrinfo(name, port, &hints, &list) != 0)
        FAIL("%s is not found", name);
    memcpy(&ret->addr, list->ai_addr, list->ai_addrlen);
    ret->len = list->ai_addrlen;
    ret->family = list->ai_family;
    freeaddrinfo(list);
}

static void check_echo(const struct peer *p, const char *text)
{
    int fd = tcp_connect(p);
    echo(fd, text);
    close(fd);
}

static void give_up_rights(void)
{
    CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    CHECK(prctl(PR_SET_DUMPABLE, 1) == 0); /* lets the process read its own /proc/self */
}

static void fill_pattern(uint8_t *at, size_t size, enum pattern pattern)
{
    if (pattern != RANDOM) {
        memset(at, pattern == ONES ? 0xff : 0, size);
        return;
    }
    for (size_t i = 0; i + 4 <= size; i += 4) {
        uint32_t value = (uint32_t)random();
        memcpy(at + i, &value, 4);
    }
}

/* Overwrites the shared, writable mappings of memfds. Mappings consist of whole pages. */
static void write_over_mappings(enum pattern pattern)
{
    char line[512], rights[8], path[256];
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &from, &to, rights, path) == 4 &&
            rights[1] == 'w' && rights[3] == 's' && strstr(path, "memfd:"))
            fill_pattern((uint8_t *)from, to - from, pattern);
    }
    fclose(maps);
}

/* Overwrites the memfds that the process has descriptors of. */
static void write_over_files(enum pattern pattern)
{
    static uint8_t page[1 << 20];
    for (int fd = 3; fd < 1024; fd++) {
        off_t size = fcntl(fd, F_GET_SEALS) < 0 ? 0 : lseek(fd, 0, SEEK_END);
        for (off_t at = 0; at < size; at += (off_t)sizeof(page)) {
            fill_pattern(page, sizeof(page), pattern);
            (void)!pwrite(fd, page, sizeof(page), at);
        }
    }
}

/* Exits with 0 if the process survives its own writes. */
static int write_over_all(enum pattern pattern)
{
    alarm(60);
    write_over_files(pattern);
    write_over_mappings(pattern);
    _exit(0);
}

/* The path of this program may be inaccessible without privileges. */
static void run_by_shell(char **argv, const char *number)
{
    char command[256];
    snprintf(command, sizeof(command), "exec /proc/%d/exe %s %s %s", (int)getpid(), argv[1], argv[2], number);
    _exit(system(command) == 0 ? 0 : 1);
}

static pid_t start_child(char **argv, enum way way, enum pattern pattern)
{
    char number[8];
    snprintf(number, sizeof(number), "%d", pattern);
    pid_t pid = way == BEHIND_VFORK ? vfork() : fork();
    if (pid != 0)
        return pid;
    if (way == BY_SYSTEM_CALL) {
        CHECK(syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) == 0 &&
              syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) == 0);
        CHECK(prctl(PR_SET_DUMPABLE, 1) == 0);
    } else
        give_up_rights();
    if (way == IN_PLACE || way == BY_SYSTEM_CALL)
        write_over_all(pattern);
    if (way == BEHIND_SHELL)
        run_by_shell(argv, number);
    execl("/proc/self/exe", argv[0], argv[1], argv[2], number, (char *)NULL);
    _exit(1);
}

static _Atomic int n_connected;
static _Atomic int ended;

/* Does not use poll(), because libc's signal to all threads would interrupt it. */
static void *connect_repeatedly(void *peer)
{
    char back[8];
    while (!ended) {
        int fd = tcp_connect(peer);
        CHECK(write(fd, "thread", 6) == 6 && recv(fd, back, 6, MSG_WAITALL) == 6 && memcmp(back, "thread", 6) == 0);
        close(fd);
        n_connected++;
    }
    return NULL;
}

/* UNDER_WAY is shared with the parent. It may fail in a process that leaves it to the parent. */
static void use_after_drop(const struct peer *p, int under_way)
{
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    int own = tcp_begin(p), error;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, connect_repeatedly, (void *)(uintptr_t)p) == 0);
    while (n_connected < THREADS)
        sched_yield();
    give_up_rights();
    for (int before = n_connected; n_connected < before + 2 * THREADS;)
        sched_yield();
    ended = 1;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    wait_for(own, POLLOUT);
    CHECK(so_error(own) == 0);
    echo(own, "its own");
    wait_for(under_way, POLLOUT);
    error = so_error(under_way);
    CHECK(error == 0 || error == ECONNABORTED);
    check_echo(p, "without rights");
    _exit(0);
}

/* Runs several times because the state of the threads at the change is random. */
static void use_after_drop_often(const struct peer *p)
{
    for (int i = 0; i < 20; i++) {
        int under_way = tcp_begin(p);
        pid_t pid = fork();
        if (pid == 0)
            use_after_drop(p, under_way);
        child_ends(pid);
        wait_for(under_way, POLLOUT);
        CHECK(so_error(under_way) == 0);
        echo(under_way, "under way");
        close(under_way);
    }
}

int main(int argc, char **argv)
{
    struct peer p, again;
    CHECK(argc > 2);
    if (argc > 4) { /* executed without privileges */
        p = peer_of(argv[4], argv[2]);
        check_echo(&p, "behind the exec");
        return 0;
    }
    if (argc > 3)
        return write_over_all((enum pattern)atoi(argv[3]));
    look_up(argv[1], argv[2], &p);
    for (enum way way = IN_PLACE; way < WAYS; way++)
        for (enum pattern pattern = ZEROS; pattern < PATTERNS; pattern++) {
            int under_way = tcp_begin(&p);
            child_ends(start_child(argv, way, pattern));
            wait_for(under_way, POLLOUT);
            CHECK(so_error(under_way) == 0);
            echo(under_way, "under way");
            close(under_way);
            check_echo(&p, "the parent");
            look_up(argv[1], argv[2], &again);
            CHECK(memcmp(&p.addr, &again.addr, p.len) == 0);
        }
    use_after_drop_often(&p);
    pid_t pid = fork();
    if (pid == 0) {
        char address[64];
        give_up_rights();
        check_echo(&p, "without rights");
        CHECK(inet_ntop(AF_INET, &((struct sockaddr_in *)&p.addr)->sin_addr, address, sizeof(address)));
        execl("/proc/self/exe", argv[0], argv[1], argv[2], "0", address, (char *)NULL);
        FAIL("exec");
    }
    child_ends(pid);
    check_echo(&p, "the parent at last");
    return 0;
}

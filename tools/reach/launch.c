#include "launch.h"
#include "agent.h"
#include "byte_lock.h"
#include "close_descriptors.h"
#include "companion_request.h"
#include "keyed.h"
#include "namespaces.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOCK_AT       ((off_t)1 << 40) /* an octet of the shared memory's file that no process has */
#define LOCK_TRIES    500              /* of 10 ms */
#define REPLY_SECONDS 20

int launch_connect(struct s5_shm *shm)
{
    struct sockaddr_un at;
    uint64_t id[2];
    if (!s5_namespaces_id(&shm->namespaces, id))
        return -EAGAIN;
    socklen_t len = handover_address(&at, id, geteuid());
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int result = connect(fd, (struct sockaddr *)&at, len) < 0 ? -errno : 0;
    if (result == 0 && !handover_is_own_user(fd))
        result = -EPERM;
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

/* ---- Starting ---- */

struct start {
    const char *file;
    int channel;
};

static void exec_gateway(void *user)
{
    const struct start *s = user;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDWR);
    int channel = fcntl(s->channel, F_DUPFD, 3);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    dup2(channel, S5_NAMESPACES_CHANNEL);
    s5_close_descriptors(S5_NAMESPACES_CHANNEL + 1, ~0U);
    (void)!chdir("/");
    execl(s->file, s->file, (char *)NULL);
    _exit(127);
}

int launch_gateway(const char *file)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    struct start start = {file, ends[1]};
    int result = agent_fork_apart(exec_gateway, &start);
    close(ends[1]);
    if (result == 0)
        return ends[0];
    close(ends[0]);
    return result;
}

int launch_gateway_by_companion(void)
{
    struct s5_companion_request request = {.service = S5_COMPANION_GATEWAY};
    int32_t reply = -ENOSYS;
    int fd = s5_keyed_call();
    if (fd < 0)
        return fd;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    size_t n = offsetof(struct s5_companion_request, data);
    if (send(fd, &request, n, MSG_NOSIGNAL) != (ssize_t)n || recv(fd, &reply, sizeof(reply), 0) != sizeof(reply))
        reply = -ECONNRESET;
    if (reply == 0)
        return fd;
    close(fd);
    return reply < 0 ? reply : -EPROTO;
}

/* ---- Requests ---- */

int launch_request(int channel, struct handover *h, struct handover *ret)
{
    struct timeval timeout = {REPLY_SECONDS, 0};
    setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    int result = handover_send(channel, h);
    handover_clear(ret, HANDOVER_REPLY);
    if (result == 0)
        result = handover_receive(channel, ret);
    if (result == 0)
        result = ret->kind == HANDOVER_REPLY ? ret->error : -EPROTO;
    if (result == -EAGAIN)
        result = -ETIMEDOUT;
    if (result < 0)
        handover_close(ret);
    return result;
}

/* ---- The lock ---- */

void launch_lock(int shm_fd)
{
    const struct timespec pause = {0, 10000000};
    short type;
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (s5_byte_lock(shm_fd, F_SETLK, F_WRLCK, LOCK_AT, 1, &type))
            return;
        nanosleep(&pause, NULL);
    }
}

void launch_unlock(int shm_fd)
{
    short type;
    s5_byte_lock(shm_fd, F_SETLK, F_UNLCK, LOCK_AT, 1, &type);
}

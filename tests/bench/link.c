/* A link with a delay between two network namespaces. There is a TUN device in each. Every packet is held for the given
 * time and then forwarded, in order.
 *
 *   link MICROSECONDS NAMESPACE DEVICE NAMESPACE DEVICE
 *
 * Namespaces are paths. Prints "ready" when both devices exist. Ends at the end of its standard input. */
#include "bench.h"
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { PACKET = 1600, MOST = 16384 };

struct way {
    int from, to;
    double delay;         /* microseconds */
    unsigned first, last; /* packets held: [first, last) */
    struct {
        double due;
        ssize_t size;
        char data[PACKET];
    } held[MOST];
};

static struct way ways[2];

static int open_device(const char *namespace, const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int ns = open(namespace, O_RDONLY | O_CLOEXEC), fd;
    CHECK(ns >= 0 && setns(ns, CLONE_NEWNET) == 0);
    close(ns);
    CHECK((fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) >= 0);
    CHECK(strlen(name) < sizeof r.ifr_name);
    strcpy(r.ifr_name, name);
    CHECK(ioctl(fd, TUNSETIFF, &r) == 0);
    return fd;
}

static void read_packets(struct way *w)
{
    while (w->last - w->first < MOST) {
        unsigned i = w->last % MOST;
        w->held[i].size = read(w->from, w->held[i].data, PACKET);
        if (w->held[i].size <= 0)
            return;
        w->held[i].due = now_us() + w->delay;
        w->last++;
    }
}

static void *carry_packets(void *arg)
{
    struct way *w = arg;
    struct pollfd p = {w->from, POLLIN, 0};
    prctl(PR_SET_TIMERSLACK, 1);
    for (;;) {
        double wait = w->first == w->last ? 1e6 : w->held[w->first % MOST].due - now_us();
        struct timespec t = {(time_t)(wait / 1e6), (long)(wait * 1e3) % 1000000000};
        if (wait > 0)
            ppoll(&p, 1, &t, NULL);
        read_packets(w);
        for (; w->first != w->last && w->held[w->first % MOST].due <= now_us(); w->first++)
            (void)!write(w->to, w->held[w->first % MOST].data,
                         (size_t)w->held[w->first % MOST].size);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    char c;
    /* SCHED_FIFO makes the delay exact on a busy machine. Without the permission for it the delay is less exact. */
    struct sched_param first = {.sched_priority = 1};
    CHECK(argc == 6);
    int a = open_device(argv[2], argv[3]), b = open_device(argv[4], argv[5]);
    sched_setscheduler(0, SCHED_FIFO, &first);
    for (int i = 0; i < 2; i++) {
        ways[i].from = i ? b : a;
        ways[i].to = i ? a : b;
        ways[i].delay = atof(argv[1]);
        CHECK(pthread_create(&thread, NULL, carry_packets, &ways[i]) == 0);
    }
    puts("ready");
    fflush(stdout);
    while (read(0, &c, 1) > 0)
        ;
    return 0;
}

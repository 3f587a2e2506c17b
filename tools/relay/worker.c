/* Threads are created as they are needed, and end when nothing is left to do. */
#include "worker.h"
#include "loop.h"
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS 64
#define STACK   (256 << 10)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct worker_job *waiting, **waiting_end = &waiting; /* with LOCK */
static struct worker_job *done, **done_end = &done;          /* with LOCK */
static unsigned n_threads;                                   /* with LOCK */
static struct watch wakeup = {.fd = -1};

static struct worker_job *take_first(struct worker_job **list, struct worker_job ***end)
{
    struct worker_job *job = *list;
    if (job) {
        *list = job->next;
        if (!*list)
            *end = list;
        job->next = NULL;
    }
    return job;
}

static void *run_jobs(void *unused)
{
    uint64_t one = 1;
    (void)unused;
    pthread_mutex_lock(&lock);
    for (struct worker_job *job; (job = take_first(&waiting, &waiting_end));) {
        pthread_mutex_unlock(&lock);
        job->run(job);
        pthread_mutex_lock(&lock);
        *done_end = job;
        done_end = &job->next;
        (void)!write(wakeup.fd, &one, sizeof(one));
    }
    n_threads--;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void take_results(struct watch *w, uint32_t ready)
{
    uint64_t n;
    (void)ready;
    (void)!read(w->fd, &n, sizeof(n));
    for (;;) {
        pthread_mutex_lock(&lock);
        struct worker_job *job = take_first(&done, &done_end);
        pthread_mutex_unlock(&lock);
        if (!job)
            return;
        job->done(job);
    }
}

int worker_begin(void)
{
    wakeup.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wakeup.ready = take_results;
    return wakeup.fd < 0 ? -errno : loop_set_events(&wakeup, EPOLLIN);
}

/* Without a thread the loop itself runs the job: all else waits. */
static void run_here(struct worker_job *job)
{
    job->run(job);
    pthread_mutex_lock(&lock);
    uint64_t one = 1;
    *done_end = job;
    done_end = &job->next;
    pthread_mutex_unlock(&lock);
    (void)!write(wakeup.fd, &one, sizeof(one));
}

void worker_start(struct worker_job *job)
{
    pthread_t thread;
    pthread_attr_t attributes;
    job->next = NULL;
    pthread_mutex_lock(&lock);
    *waiting_end = job;
    waiting_end = &job->next;
    bool more = n_threads < THREADS;
    n_threads += more;
    pthread_mutex_unlock(&lock);
    if (!more)
        return;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int error = pthread_create(&thread, &attributes, run_jobs, NULL);
    pthread_attr_destroy(&attributes);
    if (!error)
        return;
    pthread_mutex_lock(&lock);
    n_threads--;
    job = n_threads ? NULL : take_first(&waiting, &waiting_end);
    pthread_mutex_unlock(&lock);
    if (job)
        run_here(job);
}

/* Threads for calls that wait for a server. */
#ifndef TOOLS_WORKER_H
#define TOOLS_WORKER_H

struct worker_job {
    void (*run)(struct worker_job *job);  /* called in a thread */
    void (*done)(struct worker_job *job); /* called in the thread of the event loop afterwards */
    long result;                          /* for RUN and DONE */
    struct worker_job *next;
};

/* Prepares the threads. Returns 0, or -errno. */
int worker_begin(void);

/* Runs JOB, which the caller keeps until DONE is called. If all threads are busy it waits. */
void worker_start(struct worker_job *job);

#endif

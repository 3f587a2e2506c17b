#include "alone.h"
#include "engine.h"
#include <pthread.h>

void s5_alone_begin(struct s5_alone *ret)
{
    sigset_t all;
    sigfillset(&all);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ret->cancel);
    pthread_sigmask(SIG_SETMASK, &all, &ret->signals);
    s5_engine_inside++;
}

void s5_alone_end(const struct s5_alone *alone)
{
    s5_engine_inside--;
    pthread_sigmask(SIG_SETMASK, &alone->signals, NULL);
    pthread_setcancelstate(alone->cancel, NULL);
}

#include "quiet.h"
#include "engine.h"
#include <pthread.h>

void s5_quiet_begin(struct s5_quiet *ret)
{
    sigset_t all;
    sigfillset(&all);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ret->cancel);
    pthread_sigmask(SIG_SETMASK, &all, &ret->signals);
    s5_engine_inside++;
}

void s5_quiet_end(const struct s5_quiet *quiet)
{
    s5_engine_inside--;
    pthread_sigmask(SIG_SETMASK, &quiet->signals, NULL);
    pthread_setcancelstate(quiet->cancel, NULL);
}

/* Threads that wait in sendmsg(), without a destination, and in sendmmsg() are cancelled. Their clean-up handlers run,
 * and the cancellation type is what it was. */
#include "app.h"
#include <pthread.h>

static int full[2];
static _Atomic int cleaned, waiting;

static void clean(void *unused)
{
    (void)unused;
    cleaned++;
}

static void send_message(void)
{
    char octets[4096] = {0};
    struct iovec part = {octets, sizeof octets};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    sendmsg(full[0], &m, 0);
}

static void send_messages(void)
{
    char octets[4096] = {0};
    struct iovec part = {octets, sizeof octets};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    sendmmsg(full[0], &m, 1, 0);
}

static void *send_for_ever(void *how)
{
    void (**call)(void) = how;
    int type;
    pthread_cleanup_push(clean, NULL);
    CHECK(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type) == 0 && type == PTHREAD_CANCEL_DEFERRED);
    waiting++;
    for (;;) {
        (*call)();
        CHECK(pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type) == 0 && type == PTHREAD_CANCEL_DEFERRED);
    }
    pthread_cleanup_pop(0);
    return NULL;
}

int main(void)
{
    void (*calls[])(void) = {send_message, send_messages};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, full) == 0);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *result;
        cleaned = waiting = 0;
        CHECK(pthread_create(&thread, NULL, send_for_ever, &calls[i % 2]) == 0);
        while (!waiting)
            usleep(1000);
        usleep(10000);
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
        CHECK(result == PTHREAD_CANCELED && cleaned == 1);
    }
    return 0;
}

/* Runs a few threads in every order in which they can be interleaved. This header is included before the sources
 * under test. It makes each of their atomic operations a point at which another thread may continue. There is one
 * real thread; the threads of the model are contexts of it. A run follows one schedule. model_explore() tries all
 * schedules with at most a given number of switches at such points. (Where a thread ends or waits, another one
 * continues in any case.)
 *
 * Memory is sequentially consistent (seq_cst of C11). Effects of weaker orders are not found. */
#ifndef MODEL_H
#define MODEL_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

enum { MODEL_THREADS = 3, MODEL_CHOICES = 4096, MODEL_STACK = 128 << 10 };

static struct model {
    unsigned threads, now, left; /* number of threads; the running one; switches left in this run */
    bool running;
    bool ended[MODEL_THREADS];
    ucontext_t main, contexts[MODEL_THREADS];
    void (*body)(unsigned thread);
    void (*check)(void); /* must hold at each point */
    void (*leave)(unsigned thread), (*enter)(unsigned thread); /* NULL: there are no thread-local variables */
    bool (*dull)(const volatile void *at); /* true: AT does not matter and is no point; NULL: everything matters */
    /* The schedule: the choice made at each point, and among how many. */
    unsigned at, known;
    unsigned char chosen[MODEL_CHOICES], of[MODEL_CHOICES];
    unsigned long schedules, points;
} model;
static char model_stacks[MODEL_THREADS][MODEL_STACK] __attribute__((aligned(16)));

static unsigned model_choose(unsigned of)
{
    cr_assert_lt(model.at, MODEL_CHOICES, "a run without an end");
    if (model.at == model.known) {
        model.chosen[model.known] = 0;
        model.of[model.known++] = (unsigned char)of;
    }
    cr_assert_eq(model.of[model.at], of, "a run that cannot be repeated");
    return model.chosen[model.at++];
}

static void model_go(unsigned thread)
{
    unsigned before = model.now;
    if (thread == before)
        return;
    if (model.leave)
        model.leave(before);
    model.now = thread;
    swapcontext(&model.contexts[before], &model.contexts[thread]);
    if (model.enter)
        model.enter(before);
}

/* Returns the NTH of the other threads that have not ended. */
static unsigned model_other(unsigned nth)
{
    for (unsigned i = 1;; i++) {
        unsigned thread = (model.now + i) % model.threads;
        if (!model.ended[thread] && nth-- == 0)
            return thread;
    }
}

static unsigned model_others(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < model.threads; i++)
        n += i != model.now && !model.ended[i];
    return n;
}

static void model_point(const volatile void *at)
{
    if (!model.running || (model.dull && model.dull(at)))
        return;
    model.points++;
    model.check();
    unsigned others = model.left ? model_others() : 0;
    unsigned choice = others ? model_choose(others + 1) : 0;
    if (!choice)
        return;
    model.left--;
    model_go(model_other(choice - 1));
}

/* A thread waits, so another one continues. */
static inline int model_wait(void)
{
    if (model.running && model_others())
        model_go(model_other(0));
    return 0;
}

static void model_thread(void)
{
    if (model.enter)
        model.enter(model.now);
    model.body(model.now);
    model.ended[model.now] = true;
    unsigned others = model_others();
    if (!others) {
        setcontext(&model.main);
        return;
    }
    unsigned next = model_other(others > 1 ? model_choose(others) : 0);
    model.now = next;
    setcontext(&model.contexts[next]);
}

static __attribute__((noinline)) void model_prepare(ucontext_t *context, char *stack)
{
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = MODEL_STACK;
    context->uc_link = &model.main;
    makecontext(context, model_thread, 0);
}

static void model_run(void)
{
    model.at = 0;
    for (unsigned i = 0; i < model.threads; i++) {
        model.ended[i] = false;
        model_prepare(&model.contexts[i], model_stacks[i]);
    }
    model.running = true;
    model.now = model.threads > 1 ? model_choose(model.threads) : 0;
    swapcontext(&model.main, &model.contexts[model.now]);
    model.running = false;
    model.schedules++;
}

/* Runs all schedules of THREADS threads, each of which executes BODY, with at most SWITCHES switches at points.
 * BEFORE and AFTER each run nothing is interleaved. */
static void model_explore(const char *name, unsigned threads, unsigned switches, void (*before)(void),
                          void (*body)(unsigned thread), void (*check)(void), void (*after)(void))
{
    model.threads = threads;
    model.body = body;
    model.check = check;
    model.schedules = model.points = model.known = 0;
    do {
        before();
        model.left = switches;
        model_run();
        after();
        while (model.known && model.chosen[model.known - 1] + 1 == model.of[model.known - 1])
            model.known--;
        if (model.known)
            model.chosen[model.known - 1]++;
    } while (model.known);
    printf("# %s: %lu schedules, %lu points\n", name, model.schedules, model.points);
}

/* --- the operations; one may be nested in the arguments of another --- */

#pragma GCC diagnostic ignored "-Wshadow"

#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_fetch_add_explicit
#undef atomic_exchange_explicit
#ifdef __clang__
#define MODEL_OPERATION(name) __c11_atomic_##name
#define MODEL_CAS(at, expected, wanted)                                                            \
    __c11_atomic_compare_exchange_strong(at, expected, wanted, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define MODEL_LOAD(at)         __c11_atomic_load(at, __ATOMIC_SEQ_CST)
#define MODEL_STORE(at, value) __c11_atomic_store(at, value, __ATOMIC_SEQ_CST)
#else
#define MODEL_OPERATION(name) __atomic_##name
#define MODEL_LOAD(at)                                                                             \
    __extension__({                                                                                \
        __auto_type model_at = (at);                                                               \
        __typeof__((void)0, *model_at) model_value;                                                \
        __atomic_load(model_at, &model_value, __ATOMIC_SEQ_CST);                                   \
        model_value;                                                                               \
    })
#define MODEL_STORE(at, value)                                                                     \
    __extension__({                                                                                \
        __auto_type model_at = (at);                                                               \
        __typeof__((void)0, *model_at) model_value = (value);                                      \
        __atomic_store(model_at, &model_value, __ATOMIC_SEQ_CST);                                  \
    })
#define MODEL_CAS(at, expected, wanted)                                                            \
    __extension__({                                                                                \
        __auto_type model_at = (at);                                                               \
        __typeof__((void)0, *model_at) model_value = (wanted);                                     \
        __atomic_compare_exchange(model_at, (expected), &model_value, 0, __ATOMIC_SEQ_CST,         \
                                  __ATOMIC_SEQ_CST);                                               \
    })
#endif
#ifdef __clang__
#define MODEL_SWAP(at, value) __c11_atomic_exchange(at, value, __ATOMIC_SEQ_CST)
#else
#define MODEL_SWAP(at, value)                                                                      \
    __extension__({                                                                                \
        __auto_type model_at = (at);                                                               \
        __typeof__((void)0, *model_at) model_value = (value), model_old;                           \
        __atomic_exchange(model_at, &model_value, &model_old, __ATOMIC_SEQ_CST);                   \
        model_old;                                                                                 \
    })
#endif

#define atomic_load(at)                         (model_point(at), MODEL_LOAD(at))
#define atomic_load_explicit(at, order)         atomic_load(at)
#define atomic_store(at, value)                 (model_point(at), MODEL_STORE(at, value))
#define atomic_store_explicit(at, value, order) atomic_store(at, value)
#define atomic_exchange(at, value)              (model_point(at), MODEL_SWAP(at, value))
#define atomic_exchange_explicit(at, value, order) atomic_exchange(at, value)
#define atomic_fetch_add(at, by) (model_point(at), MODEL_OPERATION(fetch_add)(at, by, __ATOMIC_SEQ_CST))
#define atomic_fetch_sub(at, by) (model_point(at), MODEL_OPERATION(fetch_sub)(at, by, __ATOMIC_SEQ_CST))
#define atomic_fetch_add_explicit(at, by, order)          atomic_fetch_add(at, by)
#define atomic_compare_exchange_strong(at, expected, wanted) (model_point(at), MODEL_CAS(at, expected, wanted))
#define atomic_compare_exchange_weak(at, expected, wanted)   atomic_compare_exchange_strong(at, expected, wanted)

#define S5_THREAD             ((uintptr_t)(model.now + 1) << 6) /* lock values identify their holders */
#define sched_yield()         model_wait()
#define nanosleep(time, left) ((void)(time), model_wait())

#endif

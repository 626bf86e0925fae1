/* Two heaps under one lock: tasks that sleep, by when they are ready, and tasks that are due, by
 * deadline. One idle worker watches: it waits until the first of those that sleep is ready; the
 * others wait until they are called. */
#include "sched/workers.h"

#include <pthread.h>
#include <string.h>

#include "base/heap.h"
#include "sched/cond.h"
#include "sched/task_heap.h"

typedef struct Worker {
    Workers *all;
    pthread_t thread;
    int index;
    int64_t began; /* what it runs; 0: nothing */
} Worker;

struct Workers {
    pthread_mutex_t lock; /* guards all below but n, and all fields of tasks but `run` */
    /* a task is due, or ready earlier than the worker that watches knows, or `stop` */
    pthread_cond_t wake;
    pthread_cond_t ended; /* a task that somebody waits for */
    TaskHeap sleeping, due;
    uint64_t order;
    int idle;             /* workers that wait for `wake` */
    int64_t watched;      /* the earliest time that one of them waits for; INT64_MAX: none does */
    bool stop;
    int64_t tasks, late, busy; /* busy: us of tasks that have ended */
    int n;
    Worker worker[];
};

/* ---- under the lock ---- */

static void enqueue(Workers *w, Task *t)
{
    const bool sleeps = t->ready > machine_now();
    t->state = sleeps ? TASK_SLEEPS : TASK_DUE;
    task_heap_add(sleeps ? &w->sleeping : &w->due, t);
    if (!sleeps || w->sleeping.first == t)
        pthread_cond_signal(&w->wake);
}

static void take_out(Workers *w, Task *t)
{
    task_heap_remove(t->state == TASK_SLEEPS ? &w->sleeping : &w->due, t);
    t->state = TASK_RESTS;
}

static void wake_sleepers(Workers *w, int64_t now)
{
    while (w->sleeping.first && w->sleeping.first->ready <= now) {
        Task *const t = w->sleeping.first;
        take_out(w, t);
        t->state = TASK_DUE;
        task_heap_add(&w->due, t);
    }
}

static bool is_unwatched(const Workers *w)
{
    return w->sleeping.first && w->sleeping.first->ready < w->watched;
}

static void wait_for_wake(Workers *w)
{
    w->idle++;
    if (is_unwatched(w)) {
        const int64_t until = w->sleeping.first->ready;
        w->watched = until;
        cond_wait_until(&w->wake, &w->lock, until);
        if (w->watched == until) /* else another watches for something earlier */
            w->watched = INT64_MAX;
    } else {
        pthread_cond_wait(&w->wake, &w->lock);
    }
    w->idle--;
}

/* NULL: the end. */
static Task *next_task(Workers *w)
{
    for (;;) {
        wake_sleepers(w, machine_now());
        if (w->stop || w->due.first)
            break;
        wait_for_wake(w);
    }
    /* Whoever watched takes a task now, or took the signal meant for who runs the next one. */
    if (w->idle > 0 && (w->stop || w->due.size > 1 || is_unwatched(w)))
        pthread_cond_signal(&w->wake);
    return w->stop ? NULL : w->due.first;
}

static void run_task(Workers *w, Worker *me, Task *t)
{
    take_out(w, t);
    t->state = TASK_RUNS;
    me->began = machine_now();
    w->tasks++;
    w->late += me->began > t->deadline;
    const TaskFn run = t->run;
    pthread_mutex_unlock(&w->lock);
    run(t, me->index);
    pthread_mutex_lock(&w->lock);
    w->busy += machine_now() - me->began;
    me->began = 0;
    t->state = TASK_RESTS;
    const bool again = t->again && !t->cancelled;
    t->again = false;
    if (again)
        enqueue(w, t);
    if (t->cancelled)
        pthread_cond_broadcast(&w->ended);
}

static void *worker_main(void *arg)
{
    Worker *const me = arg;
    Workers *const w = me->all;
    pthread_mutex_lock(&w->lock);
    for (Task *t; (t = next_task(w)) != NULL;)
        run_task(w, me, t);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- from outside ---- */

static void init(Workers *w)
{
    pthread_mutex_init(&w->lock, NULL);
    cond_init(&w->wake);
    cond_init(&w->ended);
    w->sleeping.by_ready = true;
    w->watched = INT64_MAX;
}

int workers_new(int n, Workers **out, Error *e)
{
    *out = NULL;
    Workers *const w = heap_alloc(sizeof *w + (size_t)n * sizeof w->worker[0], _Alignof(Workers));
    if (!w)
        return error_set(e, ERR_MEMORY, "no memory for %d workers", n);
    init(w);
    for (w->n = 0; w->n < n; w->n++) {
        Worker *const me = &w->worker[w->n];
        *me = (Worker){.all = w, .index = w->n};
        const int code = pthread_create(&me->thread, NULL, worker_main, me);
        if (code != 0) {
            workers_free(w);
            return error_set(e, ERR_MEMORY, "worker %d of %d: %s", me->index + 1, n,
                             strerror(code));
        }
    }
    *out = w;
    return 0;
}

void workers_free(Workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->n; i++)
        pthread_join(w->worker[i].thread, NULL);
    pthread_cond_destroy(&w->ended);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    heap_free(w);
}

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

void workers_submit(Workers *w, Task *t, int64_t deadline, int64_t ready)
{
    pthread_mutex_lock(&w->lock);
    const bool waits = t->state == TASK_SLEEPS || t->state == TASK_DUE || t->again;
    if (t->state == TASK_SLEEPS || t->state == TASK_DUE)
        take_out(w, t);
    t->deadline = waits ? earlier(t->deadline, deadline) : deadline;
    t->ready = waits ? earlier(t->ready, ready) : ready;
    t->order = waits ? t->order : w->order++;
    if (t->state == TASK_RUNS)
        t->again = true;
    else if (!t->cancelled)
        enqueue(w, t);
    pthread_mutex_unlock(&w->lock);
}

void workers_cancel(Workers *w, Task *t)
{
    pthread_mutex_lock(&w->lock);
    if (t->state == TASK_SLEEPS || t->state == TASK_DUE)
        take_out(w, t);
    t->cancelled = true;
    while (t->state == TASK_RUNS)
        pthread_cond_wait(&w->ended, &w->lock);
    t->cancelled = false;
    pthread_mutex_unlock(&w->lock);
}

static int64_t waiting(Workers *w)
{
    wake_sleepers(w, machine_now());
    const int64_t more = w->due.size - w->idle;
    return more > 0 ? more : 0;
}

int64_t workers_waiting(Workers *w)
{
    pthread_mutex_lock(&w->lock);
    const int64_t n = waiting(w);
    pthread_mutex_unlock(&w->lock);
    return n;
}

WorkersCounts workers_counts(Workers *w)
{
    pthread_mutex_lock(&w->lock);
    const int64_t now = machine_now();
    int64_t busy = w->busy;
    for (int i = 0; i < w->n; i++)
        busy += w->worker[i].began > 0 ? now - w->worker[i].began : 0;
    const WorkersCounts c = {.workers = w->n,
                             .tasks = w->tasks,
                             .busy = (double)busy * 1e-6,
                             .waiting = waiting(w),
                             .late = w->late};
    pthread_mutex_unlock(&w->lock);
    return c;
}


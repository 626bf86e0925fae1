/* Workers: threads that always run the most urgent task there is.
 *
 *     Task t = {.run = decode_some};
 *     workers_submit(w, &t, deadline, 0);
 *
 * A task is a small piece of work (milliseconds): what takes longer comes back in pieces, so that
 * urgent work waits for one piece at most. It belongs to who made it, is in the queue at most once,
 * and never runs on two workers at once: submitted while it runs, it runs again afterwards. Equal
 * deadlines go in the order of submission. Nothing is allocated.
 *
 *     rest --submit--> sleeps (until `ready`) --> due --> runs --> rest, or again */
#ifndef LATHE_SCHED_WORKERS_H
#define LATHE_SCHED_WORKERS_H

#include <stdbool.h>

#include "base/error.h"
#include "sched/clock.h"

typedef struct Task Task;
typedef void (*TaskFn)(Task *t, int worker); /* worker: 0 .. n - 1 */

typedef enum TaskState { TASK_RESTS, TASK_SLEEPS, TASK_DUE, TASK_RUNS } TaskState;

struct Task {
    TaskFn run;
    /* What follows is the workers'; zero to begin with. */
    int64_t deadline;
    int64_t ready;     /* not before */
    uint64_t order;    /* of submission */
    TaskState state;
    bool again;        /* submitted while it ran, for `deadline` and `ready` */
    bool cancelled;    /* somebody waits for its end: it is not queued again */
    Task *child, *next, *prev; /* of its heap (task_heap.h) */
};

typedef struct Workers Workers;

/* n threads. ERR_MEMORY: they cannot be had. */
int workers_new(int n, Workers **out, Error *e);
/* Waits for tasks that run; what waits is not run. NULL is allowed. */
void workers_free(Workers *w);
/* From any thread. `deadline`: us of clock_machine; `ready`: it is not run before (0: at once). A
 * task that waits already gets the earlier deadline and the earlier `ready` of both. What a thread
 * did before is seen by the task. */
void workers_submit(Workers *w, Task *t, int64_t deadline, int64_t ready);
/* Takes a task out, and waits for it if it runs (not from within a task): afterwards nobody touches
 * it. What submits it meanwhile, itself too, does nothing; who may submit it later has to be
 * stopped first. */
void workers_cancel(Workers *w, Task *t);
/* Tasks that could run now and have no worker: would a worker that waits for something keep others
 * from theirs? */
int64_t workers_waiting(Workers *w);

typedef struct WorkersCounts {
    int workers;
    int64_t tasks;     /* that began */
    double busy;       /* seconds so far, of all workers */
    int64_t waiting;   /* as workers_waiting */
    int64_t late;      /* began after their deadline */
} WorkersCounts;
WorkersCounts workers_counts(Workers *w);

#endif

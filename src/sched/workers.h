/* Workers: threads that always run the most urgent task there is.
 *
 *     Task t = {.run = decode_some};
 *     workers_submit(w, &t, deadline, 0);
 *
 * A task is a small piece of work (milliseconds): what takes longer comes back in pieces, so that urgent work waits for one
 * piece at most. It belongs to who made it, is in the queue at most once, and never runs on two workers at once: submitted
 * while it runs, it runs again afterwards. Equal deadlines go in the order of submission. Nothing is allocated. */
#ifndef LATHE_SCHED_WORKERS_H
#define LATHE_SCHED_WORKERS_H

#include <stdbool.h>

#include "base/error.h"
#include "sched/clock.h"

typedef struct Task Task;
typedef void (*TaskFn)(Task *t, int worker); /* worker: 0 .. n - 1 */

struct Task {
    TaskFn run;
    int64_t deadline;  /* set by workers_submit, as all below */
    int64_t ready;     /* not before */
    uint64_t order;
    int place;         /* in a heap, from 1; 0: it does not wait */
    int state;
};

typedef struct Workers Workers;

/* n threads. ERR_MEMORY: they cannot be had. */
int workers_new(int n, Workers **out, Error *e);
/* Waits for tasks that run; what waits is not run. */
void workers_free(Workers *w);
/* From any thread. `deadline`: us of clock_machine; `ready`: it is not run before (0: at once). A task that waits already gets the
 * earlier deadline and the earlier `ready` of both. */
void workers_submit(Workers *w, Task *t, int64_t deadline, int64_t ready);
/* Takes a task out, and waits for it if it runs (not from within a task): afterwards nobody touches it. */
void workers_cancel(Workers *w, Task *t);

typedef struct WorkersCounts {
    int64_t tasks;
    double busy;       /* seconds, of all workers */
    int64_t waiting;   /* tasks that could run now */
    int64_t late;      /* began after their deadline */
} WorkersCounts;
WorkersCounts workers_counts(const Workers *w);

#endif

/* A task that holds its worker until it is let go. */
#ifndef LATHE_TESTS_BLOCKER_H
#define LATHE_TESTS_BLOCKER_H

#include "check.h"

#include <stdatomic.h>
#include <unistd.h>

#include "sched/workers.h"

typedef struct Blocker {
    Task task;
    atomic_int runs, let_go;
} Blocker;

static void block(Task *t, int worker)
{
    (void)worker;
    Blocker *const b = (Blocker *)t;
    atomic_fetch_add(&b->runs, 1);
    while (!atomic_load(&b->let_go))
        usleep(50);
}

/* Until it is so much, or more; the test fails if that takes 30 s. */
static void wait_for(atomic_int *at, int value)
{
    const int64_t end = machine_now() + 30000000;
    while (atomic_load(at) < value && machine_now() < end)
        usleep(100);
    assert_true(atomic_load(at) >= value);
}

/* Returns once a worker is held. */
static void blocker_start(Blocker *b, Workers *w)
{
    *b = (Blocker){.task.run = block};
    workers_submit(w, &b->task, 0, 0);
    wait_for(&b->runs, 1);
}

#endif

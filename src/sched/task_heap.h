/* Tasks by urgency: a pairing heap whose links lie in the tasks, so that any number of them needs
 * no memory. (Fredman, Sedgewick, Sleator, Tarjan: The pairing heap, 1986.) Adding takes constant
 * time, taking out the logarithm, amortised. */
#ifndef LATHE_SCHED_TASK_HEAP_H
#define LATHE_SCHED_TASK_HEAP_H

#include "sched/workers.h"

typedef struct TaskHeap {
    Task *first;   /* the least; NULL: empty */
    int64_t size;
    bool by_ready; /* by `ready`, else by `deadline`; equals by `order` */
} TaskHeap;

void task_heap_add(TaskHeap *h, Task *t);
void task_heap_remove(TaskHeap *h, Task *t); /* t is in it */

#endif

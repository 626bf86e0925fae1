/* Requests for one model -> batches: which run together, and when; which cannot be in time any more.
 *
 *     batcher_add(b, &r);
 *     batcher_next(b, now, idle, &step);    // a batch to run, requests given up, when to ask again
 *
 * A *batch profile* says how long a batch of n takes, measured where it runs. With the earliest deadline D of those that wait, a batch
 * of n may be held back until D - profile(n + 1), when one more would no longer fit; it is held back only where
 * company saves work: if nobody else wants the processor (`idle`), and the profile says that n + 1 together save less than
 * waiting costs, it goes at once. A request whose deadline lies before now + profile(1) is given up before it costs anything.
 * Among those that wait, earliest deadlines go first, and of one source no more than its share while others wait
 * (Nexus, SOSP 2019, 4.1 and 6.3).
 *
 * Pure bookkeeping under a clock that the caller reads: no threads, no locks, no allocation after batcher_new. */
#ifndef LATHE_SCHED_BATCHER_H
#define LATHE_SCHED_BATCHER_H

#include <stdbool.h>

#include "base/arena.h"
#include "sched/clock.h"

#define BATCH_MAX 64

typedef struct BatchProfile {
    int max;                       /* largest batch there is, 1 .. BATCH_MAX */
    double seconds[BATCH_MAX + 1]; /* [n]: of a batch of n; 0: not measured. What lies between is interpolated */
} BatchProfile;

/* Moves the profile towards what was measured. */
void batch_profile_add(BatchProfile *p, int n, double seconds);
/* us; never less for more. */
int64_t batch_profile_time(const BatchProfile *p, int n);

typedef struct Request { /* belongs to who asks; stands at the beginning of what it knows besides */
    int64_t arrival, deadline; /* us */
    int source;                /* fairness is between these */
    struct Request *next;      /* the batcher's while it waits; then the next of its list */
} Request;

typedef struct BatcherStep {
    int n;
    Request *batch[BATCH_MAX];
    Request *dropped;  /* list; NULL: none */
    int64_t wake;      /* ask again then at the latest; INT64_MAX: nothing waits */
} BatcherStep;

typedef struct BatcherCounts {
    int64_t requests, batches, dropped;
    int64_t size[BATCH_MAX + 1]; /* batches of n */
} BatcherCounts;

typedef struct Batcher Batcher;
Batcher *batcher_new(Arena *a, BatchProfile *profile); /* the profile may change meanwhile, under the caller's lock */
void batcher_add(Batcher *b, Request *r);
void batcher_next(Batcher *b, int64_t now, bool idle, BatcherStep *out);
BatcherCounts batcher_counts(const Batcher *b);

#endif

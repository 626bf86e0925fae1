/* Requests for one model -> batches: which run together, and when; which cannot be in time any
 * more.
 *
 *     batcher_add(b, &r);
 *     batcher_next(b, now, idle, &step);    // a batch to run, requests given up, when to ask again
 *
 * A *batch profile* says how long a batch of n takes, l(n), measured where it runs.
 *
 * **Which**: requests in the order of their deadlines, as many as are done together by the first of
 * them, and no more than it takes to come within 2 % of the best time a request: a larger batch
 * would only keep the processor from others. Sizes that were not measured yet, and now and then
 * others (BATCH_TRY), are tried where they are in time: powers of two.
 * **Given up** are requests whose deadline lies before now + l(1), before they cost anything.
 * **When**: at once, if nobody else wants the processor (`idle`). Else n requests wait for one
 * more, for as long after the last came as its company would save, l(n) + l(1) - l(n + 1), and at
 * most until D - l(n + 1), D being their first deadline.
 * **Overload**: after a request was given up, for BATCH_STRAIN, not the first deadlines choose, for
 * which ever smaller batches are in time until most time is lost, but the batch that does most
 * requests a second and is in time for all in it; sources that were given least so far come first
 * in it, then deadlines. So a source that floods takes time only from itself. (Nexus, SOSP 2019,
 * 4.1 and 6.3: early drop; Symphony, arXiv 2308.07470: deferred dispatch. Goyal, Vin, Cheng:
 * start-time fair queueing, SIGCOMM 1996, of which "least so far" counts from when a source begins
 * to wait.)
 *
 * Pure bookkeeping under a clock that the caller reads: no threads, no locks, no allocation
 * after batcher_new. */
#ifndef LATHE_SCHED_BATCHER_H
#define LATHE_SCHED_BATCHER_H

#include <stdbool.h>

#include "base/arena.h"
#include "sched/clock.h"

#define BATCH_MAX 64
#define BATCH_STRAIN 2000000 /* us */
/* one of so many batches is of another size than the best, if it can */
#define BATCH_TRY 64

typedef struct BatchProfile {
    int max;                       /* largest batch there is, 1 .. BATCH_MAX */
    double seconds[BATCH_MAX + 1]; /* [n]: of a batch of n, a power of two; 0: not measured */
} BatchProfile;

/* Moves the profile towards what was measured. The first value of a size stands; later ones count a
 * sixteenth, and are taken for half to twice of what is known, so that a batch that was interrupted
 * does little harm. Sizes far from it follow by half as much: a machine that has become slower is
 * so for all of them. */
void batch_profile_add(BatchProfile *p, int n, double seconds);
/* us; never less for more. What lies between measured sizes is interpolated, beyond the last it
 * goes on as it did between the last two, or in proportion to the only one; with none, all take no
 * time. */
int64_t batch_profile_time(const BatchProfile *p, int n);

typedef struct Request { /* belongs to who asks; stands at the beginning of what it knows besides */
    int64_t arrival, deadline; /* us */
    /* fairness is between these; those that are equal modulo BATCH_SOURCES count as one */
    int source;
    bool waits;                /* the batcher's, as what follows: it is in there */
    struct Request *next, *prev; /* afterwards `next` is of the list it is given in */
} Request;

#define BATCH_SOURCES 1024

typedef struct BatcherStep {
    int n;
    Request *batch[BATCH_MAX];
    Request *dropped;  /* list, in the order of deadlines; NULL: none */
    int64_t wake;      /* ask again then at the latest; INT64_MAX: nothing waits */
} BatcherStep;

typedef struct BatcherCounts {
    int64_t requests, dropped, batches;
    int64_t waiting;
    int64_t size[BATCH_MAX + 1]; /* batches of n */
} BatcherCounts;

typedef struct Batcher Batcher;
Batcher *batcher_new(Arena *a, const BatchProfile *profile); /* it may change between calls */
void batcher_add(Batcher *b, Request *r);
/* Takes a request out that waits; who asked has no use for it any more. It counts neither as done
 * nor as dropped. */
void batcher_remove(Batcher *b, Request *r);
/* Takes all out that waits, likewise; in front of `list`. */
void batcher_clear(Batcher *b, Request **list);
/* One batch at most: as long as n > 0 there may be more for another worker at once. */
void batcher_next(Batcher *b, int64_t now, bool idle, BatcherStep *out);
/* When the first of those that wait must begin to be in time; INT64_MAX: nothing waits. */
int64_t batcher_latest(const Batcher *b);
BatcherCounts batcher_counts(const Batcher *b);

#endif

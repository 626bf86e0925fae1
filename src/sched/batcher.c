/* Those that wait are a list in the order of deadlines, added to from its end: late comers mostly
 * have late deadlines. */
#include "sched/batcher.h"

#include <assert.h>

/* a batch that takes so much more time a request than the best is good enough */
#define ENOUGH 1.02

typedef struct Source {
    /* requests so far; never less than the source that is given to now when it begins to wait */
    int64_t given;
    int waiting;
} Source;

struct Batcher {
    const BatchProfile *profile;
    Request *first, *last;
    int64_t undated;     /* of those that wait: without deadline, at the end of the list */
    int64_t newest;      /* arrival */
    int64_t strained_until;
    int64_t given;       /* to the source that was given to last, before */
    Source source[BATCH_SOURCES];
    BatcherCounts counts;
};

typedef struct Times { /* l(n), us */
    int64_t at[BATCH_MAX + 2];
    int max;
} Times;

Batcher *batcher_new(Arena *a, const BatchProfile *profile)
{
    assert(profile->max >= 1 && profile->max <= BATCH_MAX);
    Batcher *const b = arena_new_of(a, Batcher);
    b->profile = profile;
    b->newest = b->strained_until = INT64_MIN;
    return b;
}

static Source *source_of(Batcher *b, const Request *r)
{
    return &b->source[(unsigned)r->source % BATCH_SOURCES];
}

void batcher_add(Batcher *b, Request *r)
{
    Request *after = b->last;
    while (after && after->deadline > r->deadline)
        after = after->prev;
    r->prev = after;
    r->next = after ? after->next : b->first;
    *(r->prev ? &r->prev->next : &b->first) = r;
    *(r->next ? &r->next->prev : &b->last) = r;
    Source *const s = source_of(b, r);
    if (s->waiting++ == 0 && s->given < b->given)
        s->given = b->given;
    b->undated += r->deadline == INT64_MAX;
    b->newest = b->newest > r->arrival ? b->newest : r->arrival;
    r->waits = true;
    b->counts.requests++;
    b->counts.waiting++;
}

void batcher_remove(Batcher *b, Request *r)
{
    *(r->prev ? &r->prev->next : &b->first) = r->next;
    *(r->next ? &r->next->prev : &b->last) = r->prev;
    r->next = r->prev = NULL;
    r->waits = false;
    source_of(b, r)->waiting--;
    b->undated -= r->deadline == INT64_MAX;
    b->counts.waiting--;
}

void batcher_clear(Batcher *b, Request **list)
{
    while (b->last) {
        Request *const r = b->last;
        batcher_remove(b, r);
        r->next = *list;
        *list = r;
    }
}

/* l(1) .. l(n + 1), as far as there are such batches. */
static Times times(const BatchProfile *p, int64_t n)
{
    Times t = {.max = n < p->max ? (int)n : p->max};
    for (int i = 1; i <= t.max + 1 && i <= p->max; i++)
        t.at[i] = batch_profile_time(p, i);
    return t;
}

static void drop_late(Batcher *b, int64_t now, BatcherStep *out)
{
    const int64_t least = batch_profile_time(b->profile, 1);
    Request **end = &out->dropped;
    while (b->first && b->first->deadline - least < now) {
        Request *const r = b->first;
        batcher_remove(b, r);
        *end = r;
        end = &r->next;
        b->counts.dropped++;
        b->strained_until = now + BATCH_STRAIN;
    }
}

/* The smallest of the batches 1 .. max that is nearly as good as the best of them. */
static int good_size(const Times *t, int max)
{
    double best = (double)t->at[1];
    for (int n = 2; n <= max; n++)
        if ((double)t->at[n] / n < best)
            best = (double)t->at[n] / n;
    int n = 1;
    while (n < max && (double)t->at[n] / n > best * ENOUGH)
        n++;
    return n;
}

/* A size that ought to be tried, up to `fit`; 0: none. */
static int size_to_try(const Batcher *b, int fit)
{
    const BatchProfile *const p = b->profile;
    const bool again = b->counts.batches % BATCH_TRY == BATCH_TRY - 1;
    const int64_t round = b->counts.batches / BATCH_TRY;
    int sizes = 0;
    for (int n = 1; n <= fit; n *= 2, sizes++)
        if (p->seconds[n] <= 0)
            return n;
    return again ? 1 << round % sizes : 0;
}

/* The first requests, as many as are good and in time for the first of all. */
static int choose_urgent(Batcher *b, const Times *t, int64_t now, BatcherStep *out)
{
    int fit = 1;
    while (fit < t->max && b->first->deadline - t->at[fit + 1] >= now)
        fit++;
    const int tried = size_to_try(b, fit), n = tried ? tried : good_size(t, fit);
    Request *r = b->first;
    for (int i = 0; i < n; i++, r = r->next)
        out->batch[i] = r;
    return n;
}

/* The first request from which on a batch of n is in time; *left: how many these are of `have` at
 * `from`. */
static Request *in_time(Request *from, int64_t *left, int64_t due)
{
    for (; *left > 0 && from->deadline < due; from = from->next)
        --*left;
    return from;
}

/* One of `left` requests from `from` on whose source was given least. */
static Request *poorest(Batcher *b, Request *from, int64_t left)
{
    Request *found = from;
    for (Request *r = from; left > 0; r = r->next, left--)
        if (source_of(b, r)->given < source_of(b, found)->given)
            found = r;
    return found;
}

static void give(Batcher *b, Request *r)
{
    Source *const s = source_of(b, r);
    b->given = b->given > s->given ? b->given : s->given;
    s->given++;
    batcher_remove(b, r);
}

/* The batch that does most a second of those that are in time for all in it. */
static int choose_best(Batcher *b, const Times *t, int64_t now, BatcherStep *out)
{
    const int64_t dated = b->counts.waiting - b->undated; /* these first: the others can wait */
    int64_t left = dated > 0 ? dated : b->counts.waiting;
    const int max = left < t->max ? (int)left : t->max;
    Request *from = b->first;
    int fit = 0;
    for (int64_t have = left; fit < max; fit++) {
        from = in_time(from, &have, now + t->at[fit + 1]);
        if (have < fit + 1)
            break;
    }
    const int tried = size_to_try(b, fit), n = tried ? tried : good_size(t, fit);
    from = in_time(b->first, &left, now + t->at[n]);
    for (int i = 0; i < n; i++) {
        Request *const r = poorest(b, from, left--);
        if (r == from)
            from = r->next;
        give(b, r);
        out->batch[i] = r;
    }
    return n;
}

/* How long n requests, all there are, wait for another one; INT64_MIN: they do not. */
static int64_t hold_until(const Batcher *b, const Times *t, int n)
{
    if (n >= b->profile->max || n < b->counts.waiting ||
        (double)t->at[n + 1] / (n + 1) * ENOUGH > (double)t->at[n] / n)
        return INT64_MIN;
    const int64_t saved = b->newest + t->at[n] + t->at[1] - t->at[n + 1],
                  last = b->first->deadline - t->at[n + 1];
    return saved < last ? saved : last;
}

void batcher_next(Batcher *b, int64_t now, bool idle, BatcherStep *out)
{
    *out = (BatcherStep){.wake = INT64_MAX};
    drop_late(b, now, out);
    if (!b->first)
        return;
    const Times t = times(b->profile, b->counts.waiting);
    if (now < b->strained_until) {
        out->n = choose_best(b, &t, now, out);
    } else {
        const int n = choose_urgent(b, &t, now, out);
        const int64_t until = idle ? INT64_MIN : hold_until(b, &t, n);
        if (now < until) {
            out->wake = until;
            return;
        }
        for (int i = 0; i < n; i++)
            give(b, out->batch[i]);
        out->n = n;
    }
    b->counts.batches++;
    b->counts.size[out->n]++;
    out->wake = b->first ? now : INT64_MAX;
}

int64_t batcher_latest(const Batcher *b)
{
    return b->first ? b->first->deadline - batch_profile_time(b->profile, 1) : INT64_MAX;
}

BatcherCounts batcher_counts(const Batcher *b) { return b->counts; }

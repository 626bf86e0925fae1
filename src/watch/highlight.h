/* Which parts of a video are worth showing: events -> parts, ranked.
 *
 *     h(t) = sum over events of weight * exp(-|t - t_start| / HIGHLIGHT_NEAR)
 *
 * A part is an event with what stands before and behind it; the event where h is highest comes
 * first, as it has others near it. Parts that overlap are one. Each further part of the same
 * event counts half as much as the one before, so that ten kills do not crowd out the one win. */
#ifndef LATHE_WATCH_HIGHLIGHT_H
#define LATHE_WATCH_HIGHLIGHT_H

#include "base/arena.h"

#define HIGHLIGHT_NEAR 10000000 /* us */

typedef struct Moment { /* an event that was told */
    const char *event;
    int64_t t_start, t_end; /* us */
    int64_t pre, post;      /* shown before its start and behind its end */
    double weight;
} Moment;

typedef struct Highlight {
    int64_t from, to, at;   /* us; from >= 0; at: where the event starts that made it */
    double score;           /* of the event that made it */
    const char *event;      /* that one's */
    int n;                  /* events in it */
} Highlight;

/* The best `top` parts, the best first, in `a`. Longer ones than max_length end there. */
int highlights(Arena *a, int n, const Moment *moment, int top, int64_t max_length,
               const Highlight **out);

#endif

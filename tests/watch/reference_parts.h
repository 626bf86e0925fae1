/* Between the files of the reference interpreter. */
#ifndef LATHE_TESTS_WATCH_REFERENCE_PARTS_H
#define LATHE_TESTS_WATCH_REFERENCE_PARTS_H

#include <math.h>

#include "reference.h"
#include "watch/rule_eval.h" /* value_*: no state */

#define MAX_KEYS 64

typedef struct Seen { /* what a signal read as at a sample */
    RuleValue v;
    double raw, x, y; /* raw: score */
    bool scored, placed, boxed;
    Box box;
    const char *area, *page;
} Seen;

typedef struct Hit { /* one known sample of a condition */
    int64_t t;
    int truth; /* 1, 0, -1 */
    int64_t begin;
    float score;
    int64_t frame;
    Box box;
} Hit;

typedef struct Key {
    const char *name; /* NULL: the event itself */
    int first, last;  /* samples where it was first and last seen */
    Hit *at;          /* by sample */
    enum { IDLE, SHORT, ACTIVE, SPENT } state;
    int from;         /* samples from here on are in the windows */
    int64_t known;    /* NO_TIME, or awake_at the last known sample */
    /* the run that is being confirmed, and the event that was told */
    int64_t run_start, run_last, run_wall, start, last_true, wall, detect, released, cool;
    SampleClock run_clock, clock;
    Hit run_best, best;
    bool held;
    const char *reason;
    uint64_t id;
    int rev;
    RuleValue data[EVENT_MAX_DATA];
} Key;

typedef struct History { /* of an event */
    int nkey, nstart, nlimit;
    Key key[MAX_KEYS];
    int64_t start[MAX_KEYS]; /* started at the last sample */
    int64_t *limit;          /* all times when a start was told */
    int *start_at;           /* all starts so far: at which sample .. */
    int64_t *start_t;        /* .. and t_start */
    struct State { bool active; int64_t since; } *before, *after; /* sample k */
    int nall;
} History;

typedef struct Ref {
    Arena *a;
    const Watch *w;
    const char *stream;
    const Sample *s;
    int n, epoch_first, now; /* the sample in work */
    Seen **seen;             /* [signal][sample] */
    History *event;
    int stepping;            /* event that is in work: those before it are done with this sample */
    Matcher *m;
    Str out, verdicts;
} Ref;

static inline int64_t time_of(const Ref *r, int k) { return r->s[k].t; }

/* Time by a clock that stands while frames are left out: what gaps and windows are measured in. */
static inline int64_t awake_at(const Ref *r, int k)
{
    int64_t t = r->s[k].t;
    for (int j = k; j >= 0 && r->s[j].epoch == r->s[k].epoch; j--)
        t -= r->s[j].left_out;
    return t;
}

static inline int64_t span_of(const Ref *r, int m) { return llrint(m * 2e6 / r->w->fps); }

static inline RuleResult plain(RuleValue v) { return (RuleResult){v, NO_TIME}; }

/* What a signal but a line of text reads as at sample k. */
Seen ref_see(const Ref *r, int signal, int k);
/* Lines of text need what came before, and guards other signals: fills r->seen. */
void ref_see_line(Ref *r, int signal, int k);
/* Of a rule's node at sample k; `element`: what count looks at. */
RuleResult ref_value(const Ref *r, const Rule *rule, const RuleWindows *by, const Key *key, int k,
                     int node, const Found *element);
RuleResult ref_and(RuleResult a, RuleResult b);
/* The one object of `each`; NULL: it is not there. */
const Found *ref_item(const Ref *r, const Rule *rule, const Key *key, int k);
/* The window at sample k of a condition: how many of the last m known samples from `from` on, but
 * not before a time, are `want`; and the first of them. */
int ref_window(const Ref *r, const Hit *at, int from, int k, int m, int64_t span, int want,
               int64_t not_before, int64_t *first);

#endif

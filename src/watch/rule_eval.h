/* What rules mean at a sample.
 *
 *     rule_step    feeds one sample to the functions that remember (changed, rises, seq, rate), arguments first
 *     rule_value   the rule's value then; nothing changes
 *
 * A function is fed at every sample, whether or not && and || would have asked for it: what it
 * remembers must not depend on its neighbours.
 *
 * An instant condition has a time where what it tells began, which is before the sample that
 * confirmed it: `begin`. Of a && b it is the later one, of a || b the earlier one of those that
 * are true. */
#ifndef LATHE_WATCH_RULE_EVAL_H
#define LATHE_WATCH_RULE_EVAL_H

#include "watch/pattern.h"
#include "watch/reading.h"
#include "watch/rule_tree.h"

#define NO_TIME INT64_MIN

/* How rules see an event. */
typedef struct EventNow {
    bool active;
    int64_t since;        /* t_start of the oldest that is active */
    int nstart;           /* events that started at its last sample, with their t_start */
    const int64_t *start;
} EventNow;

typedef struct RuleNow {
    int64_t t;
    int64_t awake; /* t by a clock that stands while frames are left out (Sample.left_out) */
    const Reading *reading; /* of each signal */
    const EventNow *event;  /* of each event; NULL: none is active */
    Matcher *matcher;
    bool item_known;        /* `each`: is it known whether the object is there .. */
    const Found *item;      /* .. and the object; NULL: it is not */
    int64_t item_since;     /* when it was first seen */
} RuleNow;

typedef struct RuleResult {
    RuleValue value;
    int64_t begin; /* NO_TIME: no instant had a say */
} RuleResult;

/* Windows that functions confirm by. */
typedef struct RuleWindows {
    Window confirm, release;
    int64_t confirm_span, release_span; /* us: what is older is forgotten */
    int64_t gap;
} RuleWindows;

RuleWindows rule_windows(const Watch *w, Window confirm, Window release);

/* The last m known samples of a condition, oldest first from `head`. */
typedef struct Hits {
    int m, n, head;
    int64_t span;
    int64_t *t, *awake;
    bool *hit;
} Hits;

Hits hits_new(Arena *a, int m, int64_t span);
void hits_clear(Hits *h);
/* Its slot, 0 to m - 1; awake: as RuleNow has it. */
int hits_add(Hits *h, int64_t t, int64_t awake, bool hit);
void hits_drop_before(Hits *h, int64_t t);
int hits_count(const Hits *h, bool hit);
int hits_slot(const Hits *h, int i);        /* of the i-th oldest */
int64_t hits_first(const Hits *h);          /* time of the oldest true one; NO_TIME: none */

/* What the functions of one rule remember; of a keyed event there is one for each key. */
typedef struct RuleMemory RuleMemory;
RuleMemory *rule_memory_new(Arena *a, const Rule *r, const RuleWindows *w);
void rule_memory_reset(RuleMemory *m, const Rule *r);
void rule_step(const RuleNow *now, const Rule *r, RuleMemory *m);
RuleResult rule_value(const RuleNow *now, const Rule *r, const RuleMemory *m);
/* Of one node. `m` NULL: functions that remember are unknown. */
RuleResult rule_node_value(const RuleNow *now, const Rule *r, const RuleMemory *m, int node,
                           const Found *element);
/* Is something on its way to be confirmed? */
bool rule_pending(const Rule *r, const RuleMemory *m);

/* ---- values ---- */

static inline RuleValue value_unknown(void) { return (RuleValue){.kind = VALUE_UNKNOWN}; }
static inline RuleValue value_truth(bool b)
{
    return (RuleValue){.kind = VALUE_TRUTH, .number = b};
}
static inline RuleValue value_text(const char *text)
{
    return (RuleValue){.kind = VALUE_TEXT, .text = text};
}
RuleValue value_number(double v); /* unknown unless finite */
bool value_equal(const RuleValue *a, const RuleValue *b); /* of known truths, numbers and texts */
/* 1 true, 0 false, -1 unknown; of a list whether anything is in it. */
int value_condition(const RuleValue *v);

/* ---- functions that remember, as rule_node_value sees them (rule_memory.c) ---- */

/* The last sample's. */
RuleValue rule_memory_value(const RuleNow *now, const RuleNode *n, const RuleMemory *m,
                            int64_t *begin);

#endif

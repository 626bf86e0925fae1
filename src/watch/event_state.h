/* Between the files of the engine: the state machine of one event and key.
 *
 *     idle -> short -> active -> idle          short: confirmed, but not yet as long as `min`
 *                  \-> spent -> idle           spent: true, but nothing is told (limit reached, or ended by `max`)
 *
 * A *run* is what is being confirmed; what was *told* is the event that records speak of. They
 * are two, as a run may begin while the end of the last event waits for `merge`. */
#ifndef LATHE_WATCH_EVENT_STATE_H
#define LATHE_WATCH_EVENT_STATE_H

#include "watch/event.h"
#include "watch/rule_eval.h"

#define EVENT_MAX_LISTED 16 /* of a list in the data of a record */

typedef struct Best { /* the best sample of an event */
    bool any;
    float score;
    int64_t frame, t;
    Box box;
} Best;

typedef struct Run {
    int64_t t_start, last_true;
    int64_t wall; /* of t_start */
    SampleClock clock;
    Best best;
} Run;

typedef enum MachineState {
    MACHINE_IDLE,
    MACHINE_SHORT,
    MACHINE_ACTIVE,
    MACHINE_SPENT
} MachineState;

typedef struct Machine {
    MachineState state;
    Hits confirm, release;
    Best *best_at;         /* of the samples in `confirm`, by slot */
    /* last known sample, by RuleNow.awake; NO_TIME: none, or it was too long ago */
    int64_t known;
    Run run, told;
    bool held;             /* the end of `told` waits for `merge` .. */
    const char *reason;    /* .. with this reason .. */
    int64_t t_released;    /* .. and this time of detection */
    int64_t cool;          /* samples before this do not count; NO_TIME: all do */
    int64_t t_detect;      /* of the told start */
    uint64_t id;
    int rev;
    RuleValue *data;           /* as of the last true sample that was told */
    char **data_text;      /* EVENT_MAX_TEXT bytes where there are texts */
    Found **data_list;
    bool pending;          /* for events_rate */
    int64_t dense_until;
} Machine;

typedef struct EventSlot { /* an event, or one of its keys */
    uint64_t hash;         /* of the key */
    char *key;             /* NULL: the event has none */
    int64_t first_seen;
    int64_t last_seen;     /* by RuleNow.awake */
    const Found *item;     /* at this sample */
    bool away;             /* its track is out of sight, and not lost yet */
    Machine machine;
    RuleMemory *when, *within, **data;
} EventSlot;

typedef struct EventState {
    const EventRule *rule;
    bool instant, point;
    RuleWindows by;
    int nslot, nlive;
    EventSlot *slot;
    int *live;             /* slots in use, as they were first seen; behind them the free ones */
    int nsignal;
    int *signal;           /* that `when` names, in its order */
    /* at this sample; others, and the event's own rules, see them once it is done (EventNow) */
    int nstart;
    int64_t *start, *seen_start;
    int nlimit, next_limit;
    int64_t *limit;        /* when the last starts were told */
} EventState;

typedef struct SampleHere { /* what an event takes from a sample */
    int64_t t, awake, wall;
    SampleClock clock;
    int condition;         /* 1, 0, -1: unknown */
    int64_t begin;         /* NO_TIME, or when an instant began */
    Best best;
} SampleHere;

struct Events {
    const Watch *watch;
    const char *stream;
    uint64_t run;          /* part of ids */
    EventFn fn;
    void *arg;
    Readings *readings;
    Matcher *matcher;
    EventState *event;
    EventNow *now;         /* of each event */
    /* of the watch's spotlight; NULL: there is none, or nothing is required */
    RuleMemory *score, *require;
    SpotlightVerdict spotlight;
    bool begun;
    int epoch;
    int64_t t;             /* of the last sample, or as quiet as is known */
    int64_t left_out;      /* of samples, in this epoch */
    EventCounts counts;
};

void machine_new(Arena *a, Machine *m, const EventState *e);
void machine_reset(Machine *m);
/* The next sample. Data are read by rule_value from `now` once something is told. */
void machine_sample(Events *v, int event, EventSlot *s, const RuleNow *now, const SampleHere *here);
/* The earliest thing that is due by time alone before `t`; false: none. */
bool machine_due(const Events *v, int event, const EventSlot *s, int64_t t, int64_t *due);
void machine_do_due(Events *v, int event, EventSlot *s, int64_t t);
/* Ends what is active. */
void machine_stop(Events *v, int event, EventSlot *s, const char *reason);
bool machine_is_idle(const Machine *m, int64_t t);

#endif

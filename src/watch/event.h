/* Events of one stream: the state machines that turn samples into records.
 *
 * Per event and key:    idle -> pending -> active -> releasing -> idle
 *
 *   - A condition is true, false or unknown at a sample: `within` && `when`. Unknown neither confirms nor releases.
 *   - **start** once n of the last m known samples are true (`confirm`); t_start is the first true one of those, t_detect
 *     now. **end** once n' of m' are false (`release`); t_end is the last true one. A window forgets what is older than
 *     m * 2 / fps seconds, and begins anew at every start and end.
 *   - A run that is too short to be confirmed, or shorter than `min`, leaves no trace, in either direction: what is
 *     compared as old state was itself confirmed.
 *   - Nothing known for longer than the watch's `gap`, or a new epoch: what is pending is dropped, what is active ends with
 *     reason "lost", detected where the gap is over. The end of the stream: likewise, "stopped".
 *   - Time in which frames came and were left out (Sample.left_out) counts neither for the gap nor
 *     for what windows forget.
 *   - `point` events have one record, and end untold; instant conditions (rule.h) are always points, take their windows
 *     inside, and end with their sample.
 *   - `max`: an event that has lasted so long ends there ("max"), and starts again only after it was released.
 *   - `merge`: a start whose t_start is less than that after the last t_end carries the same event on. So the record of the
 *     end waits as long as that can be.
 *   - `cooldown`: samples before t_end + cooldown do not count. What is true beyond starts then.
 *   - `limit`: a start (all keys together) beyond it is not told, nor is its end.
 *   - `each`: an object (with a confirmed track) or line of text has an event of its own; the condition is false where it
 *     is known not to be there. A key is forgotten once it is idle and was away for longer than the gap.
 *   - `data`, score, frame and box are those of true samples: data of the last one, the others of the one whose score (the
 *     least of the signals that `when` names) is best. The box is the place of the first such signal that has one, else its
 *     region.
 *   - An event's id is a hash of stream, run, epoch, event, key and t_start: the same event has the same id however often it is
 *     told; `rev` counts its records.
 *
 * The records depend on nothing but the samples and the watch: not on the clock of the machine,
 * on threads, on how samples come in batches, on questions in between (events_quiet). Memory is
 * bounded and taken when the engine is made; keys beyond EVENT_MAX_KEYS are counted and refused. */
#ifndef LATHE_WATCH_EVENT_H
#define LATHE_WATCH_EVENT_H

#include "watch/rule.h"

#define EVENT_MAX_KEYS 256  /* live at once, for each event */
#define EVENT_MAX_TEXT 1024 /* bytes of a text that is remembered; longer ones are cut */

typedef enum RecordKind { RECORD_START, RECORD_END, RECORD_POINT } RecordKind;

typedef struct EventRecord {
    RecordKind kind;
    uint64_t id;
    int rev;
    const char *stream;
    const Watch *watch;
    const EventRule *rule;
    const char *key;      /* NULL: none */
    int epoch;
    int64_t t_start, t_detect, t_end; /* media time, us; t_end: of ends, else -1 */
    int64_t wall;         /* of t_start by the stream's clock, us since 1970; 0: a file */
    SampleClock clock;
    const char *reason;   /* of an end: NULL (released), "lost", "stopped", "max" */
    /* least score of the signals that the condition read, at the best sample; 0: none has one */
    float score;
    int64_t frame;        /* of the best sample .. */
    int64_t t_best;       /* .. and its media time, us */
    Box box;              /* where, if one of the signals has a place; width 0: none */
    int ndata;
    RuleValue data[EVENT_MAX_DATA]; /* as EventRule.data */
    /* path of the clip that will show it (clips.h), which who has packets adds; NULL: none, and no
     * word of it */
    const char *clip;
    /* name of a picture (evidence.h), which who has frames adds; NULL: none, and no word of it */
    const char *evidence;
} EventRecord;

const char *record_kind_name(RecordKind k); /* "start", "end", "point" */
/* {"v":1,"id":"..","rev":0,"kind":"start","stream":"s1","watch":"royale","event":"final_ten","key":null,"epoch":0,
 * "t_start":123.456,"t_detect":124.1,"t_end":null,...}; one line without the newline. */
void event_json(Str *out, const EventRecord *r);

typedef struct Events Events;
struct Reading; /* reading.h */
/* The record and what it points to are valid during the call. */
typedef void (*EventFn)(void *arg, const EventRecord *r);

typedef struct EventCounts {
    /* late: t went back within an epoch; the sample is dropped */
    int64_t samples, records, late, limited, keys_refused;
} EventCounts;

/* Freed with the arena. */
Events *events_new(Arena *a, const Watch *w, const char *stream, EventFn fn, void *arg);
/* A live stream's times begin anew whenever it is opened: ids of another run are others. 0, as it
 * is at first: a file, whose events are the same ones whenever it is watched. Before the first
 * sample. */
void events_set_run(Events *v, uint64_t run);
/* Samples in the order of their time. Records come in the order of the watch's events, then of
 * keys. */
void events_sample(Events *v, const Sample *s);
/* Nothing was seen until t: called when a stream is silent, so that "lost" is told in time. */
void events_quiet(Events *v, int64_t t);
/* The stream is over. */
void events_stop(Events *v);
EventCounts events_counts(const Events *v);

/* The samples that a record to come may name as its best (t_best): of events under way, and of
 * those that may be confirmed. All of them, or the first `max`. */
typedef struct EventBest {
    int event;
    const char *key;      /* NULL: none; valid until the next sample */
    int64_t t;
    Box box;
} EventBest;
int events_best(const Events *v, int max, EventBest *out);

/* Samples a second wanted now: max_fps (or an event's recheck) while something is pending or
 * releasing, else fps. */
double events_rate(const Events *v);
/* What each signal read as in the last sample (reading.h); valid until the next one. */
const struct Reading *events_readings(const Events *v);
/* What the last sample said for the watch's spotlight: both unknown without one, before the first
 * sample, and once the stream is over. */
SpotlightVerdict events_spotlight(const Events *v);

#endif

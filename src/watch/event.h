/* Events of one stream: the state machines that turn samples into records.
 *
 * Per event and key:    idle -> pending -> active -> releasing -> idle
 *
 *   - A condition is true, false or unknown at a sample. Unknown neither confirms nor releases.
 *   - **start** once n of the last m known samples are true (`confirm`); t_start is the first true one of that run, t_detect
 *     now. **end** once n' of m' are false (`release`); t_end is the last true one. A window also forgets what is older than
 *     m * 2 / fps seconds.
 *   - A run that is too short to be confirmed leaves no trace, in either direction: what is compared as old state was itself
 *     confirmed.
 *   - A silence longer than the watch's `gap`, unknown for as long, or a new epoch: what is pending is dropped, what is
 *     active ends with reason "lost". The end of the stream: likewise, "stopped".
 *   - `point` events have one record. `cooldown` counts from the end, `merge` joins two whose gap is shorter into one (its id;
 *     the record of the end waits so long), `limit` drops starts (counted).
 *   - An event's id is a hash of stream, epoch, event, key and t_start: the same event has the same id however often it is
 *     told; `rev` counts its records.
 *
 * The records depend on nothing but the samples and the watch: not on the clock of the machine, on threads, on how samples
 * come in batches. Memory is bounded and taken when the engine is made; keys beyond EVENT_MAX_KEYS are counted and
 * refused. */
#ifndef LATHE_WATCH_EVENT_H
#define LATHE_WATCH_EVENT_H

#include "watch/rule.h"

#define EVENT_MAX_KEYS 256  /* live at once, for each event */
#define EVENT_MAX_TEXT 1024 /* bytes of a text that is remembered; longer ones are cut */

typedef enum RecordKind { RECORD_START, RECORD_UPDATE, RECORD_END, RECORD_POINT } RecordKind;

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
    float score;          /* least score of the signals that the condition read, at the best sample; 0: none has one */
    int64_t frame;        /* of the best sample */
    Box box;              /* where, if one of the signals has a place; width 0: none */
    int ndata;
    RuleValue data[EVENT_MAX_DATA]; /* as EventRule.data */
} EventRecord;

/* {"v":1,"id":"..","rev":0,"kind":"start","stream":"s1","watch":"royale","event":"final_ten","key":null,"epoch":0,
 * "t_start":123.456,"t_detect":124.1,"t_end":null,...}; one line without the newline. */
void event_json(Str *out, const EventRecord *r);

typedef struct Events Events;
/* The record and what it points to are valid during the call. */
typedef void (*EventFn)(void *arg, const EventRecord *r);

typedef struct EventCounts {
    int64_t samples, records, late, limited, keys_refused; /* late: t went back within an epoch; the sample is dropped */
} EventCounts;

/* Freed with the arena. */
Events *events_new(Arena *a, const Watch *w, const char *stream, EventFn fn, void *arg);
/* Samples in the order of their time. Records come in the order of the watch's events, then of keys. */
void events_sample(Events *v, const Sample *s);
/* Nothing was seen until t: called when a stream is silent, so that "lost" is told in time. */
void events_quiet(Events *v, int64_t t);
/* The stream is over. */
void events_stop(Events *v);
EventCounts events_counts(const Events *v);

/* Samples a second wanted now: max_fps (or an event's recheck) while something is pending or releasing, else fps. */
double events_rate(const Events *v);
/* Signals that the next sample's rules can depend on: need[nsignal]. Rules are short-circuited: what stands behind a
 * condition that a cheap signal makes false is not needed until that changes. */
void events_need(const Events *v, bool *need);
/* What a signal reads as now, for the page and the status line. */
RuleValue events_reading(const Events *v, int signal);

#endif

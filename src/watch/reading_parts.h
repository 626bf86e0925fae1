/* Between the files of readings: what is remembered of one signal. */
#ifndef LATHE_WATCH_READING_PARTS_H
#define LATHE_WATCH_READING_PARTS_H

#include "vision/track.h"
#include "watch/event.h"
#include "watch/rule_eval.h"

typedef struct Vote {
    int64_t t;
    double number;
    char *text; /* EVENT_MAX_TEXT bytes, of texts */
} Vote;

typedef struct ReadingState {
    int64_t known;           /* the last known reading, by RuleNow.awake; NO_TIME: none */
    RuleValue last, before;  /* the last known value, and the one before that was another */
    char *text[2];       /* of these two, EVENT_MAX_TEXT bytes each */
    /* hysteresis */
    bool on, raw;        /* raw: of audio, before its durations */
    int64_t raw_since;
    /* text */
    char *line;          /* the observation's, clean and cut */
    int nvote, next_vote;
    Vote *vote;
    bool based;          /* the guard has a base */
    double base, candidate;
    int64_t base_t, candidate_t;
    int ncandidate;
    RuleMemory *reset;
    /* lists */
    Found *found;
    char *pool, *page;
    Tracker *tracker;    /* of objects */
    TrackSeen *seen;     /* what it is shown, and what it says */
    int64_t *track;
} ReadingState;

/* The value of a line of text; unknown: why. Frees the guard first if `reset`. */
RuleValue reading_line(ReadingState *s, const TextSignal *d, const Observation *o, int64_t t,
                       bool reset, Matcher *m, char why[32]);
void reading_line_new(Arena *a, ReadingState *s, const TextSignal *d);
void reading_line_reset(ReadingState *s);
/* Cannot be unknown for a reason longer than this. */
void reading_why(char why[32], const char *reason);

#endif

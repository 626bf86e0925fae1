/* Observations -> values: what a signal reads as, with everything that has parameters.
 *
 *     text, line   confident enough, `parse`d, of its type, in its range; then the vote; then the guard
 *     text, page   lines that are confident enough
 *     icon         hysteresis: true from `on`, false below `off`, in between as before (false at first); with `others` false if
 *                  it does not lead by `margin`
 *     screen       the label; unknown below `unknown_below`, or if it leads by less than `margin`
 *     class        the label if it is one of `labels`, else the empty text; unknown below `min_score`
 *     object       of those with one of the labels the confirmed tracks (vision/track.h: `min_score` is what is surely seen); of a
 *                  sample whose objects come with tracks, those with a score as they are
 *     motion       true if the share is at least `min_area`
 *     position     true from `on`; then map coordinates, and the first area that holds them (else the empty text)
 *     audio        hysteresis, and what has lasted `min_on` or `min_off`
 *
 * An observation that was not made, could not be made, or whose score is not a finite number
 * reads as unknown; a list is unknown if any score in it is not finite. A reading remembers what
 * its kind needs (votes, base of the guard, state of the hysteresis); what was unknown for
 * longer than the watch's gap is forgotten, but for the guard's base and `.prev`; a new epoch
 * forgets all. Memory is taken when they are made: a list keeps READING_MAX_FOUND, texts
 * EVENT_MAX_TEXT bytes. */
#ifndef LATHE_WATCH_READING_H
#define LATHE_WATCH_READING_H

#include "watch/rule.h"

#define READING_MAX_FOUND 256  /* of one list; further ones are left out */
#define READING_MAX_PAGE 16384 /* bytes of all texts of one list, likewise */

typedef struct Reading {
    RuleValue value;
    RuleValue prev;       /* the last one that was another; unknown: none */
    int64_t since;    /* time of the first reading that was as it is now */
    bool scored;
    float score;
    bool placed;      /* x and y are known */
    double x, y;
    bool boxed;
    Box box;          /* of the icon, the best object, the best line */
    const char *area; /* of positions, where placed */
    const char *page; /* of pages, where known: all lines */
    char why[32];     /* of an unknown value, for people */
} Reading;

struct EventNow; /* rule_eval.h */

typedef struct Readings Readings;
/* Freed with the arena. */
Readings *readings_new(Arena *a, const Watch *w);
/* Forgets everything. */
void readings_reset(Readings *r);
/* The next sample. `event`: state of the watch's events, for guards that name one. */
void readings_sample(Readings *r, const Sample *s, const struct EventNow *event);
/* One for each signal; valid until the next sample. */
const Reading *readings_now(const Readings *r);

/* Does `label` match `pattern`, in which * is any run of characters? */
bool label_matches(const char *pattern, const char *label);

#endif

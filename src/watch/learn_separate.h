/* Scores of samples -> thresholds: is there a gap between samples that show a thing and those that
 * do not?
 *
 *     0.2  0.4 0.45 0.52        |gap|        0.91 0.94 0.97        on: 0.6 into the gap, off: 0.35 into it
 *
 * Known samples bound it: below all that surely show the thing but for a twentieth (covered,
 * damaged), above all that surely do not. Among the others the widest gap between neighbours is
 * taken, where scores below SEPARATE_FLOOR, which anything has, count as that. */
#ifndef LATHE_WATCH_LEARN_SEPARATE_H
#define LATHE_WATCH_LEARN_SEPARATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

#define SEPARATE_FLOOR 0.5f
#define SEPARATE_GAP 0.1f /* a narrower one does not part anything */

typedef struct LearnSpan { /* us, both included */
    int64_t from, to;
} LearnSpan;

typedef enum SampleShows { SHOWS_OPEN, SHOWS_IT, SHOWS_NOT } SampleShows; /* open: nobody said */

typedef struct SampleScore {
    int64_t t;
    SampleShows shows;
    float score;  /* -1: nothing could be said, as of black */
} SampleScore;

typedef struct ScoreRange { /* of samples of a kind */
    int n;
    float least, best;
    int64_t least_at, best_at; /* times of these */
} ScoreRange;

typedef struct Separation {
    ScoreRange with, without;   /* where it surely is, and is not */
    ScoreRange above, below;    /* of the others, by the gap */
    bool parts;                 /* the gap is wide enough */
    float low, high;            /* of the gap */
    double on, off;             /* two decimals */
    int nseen;
    const LearnSpan *seen;      /* runs of other samples that are above: first and last of each */
} Separation;

/* n > 0 samples in the order of time, at least one that SHOWS_IT. */
Separation separate_scores(Arena *a, int n, const SampleScore *score);

#endif

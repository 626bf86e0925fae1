/* Learning references: cut from a stored video what signals compare with, and see how well it
 * tells.
 *
 *     frames of the video -> box of each -> one picture, or the median of many and a mask (learn_mask.h) -> PNG
 *     the PNG, as a signal, on samples of all the video -> scores -> does one threshold part them? (learn_separate.h)
 *
 * Pictures are cut at the watch's reference size, by the same routine that shows signals their
 * regions, so that a reference is what its signal will see. Scores are those of the signal itself
 * (observe.h) with this reference alone.
 *
 * All is cut before anything is written: where a time or a box is wrong, no file changes. */
#ifndef LATHE_WATCH_LEARN_H
#define LATHE_WATCH_LEARN_H

#include <signal.h>

#include "watch/learn_separate.h"
#include "watch/observe.h"

#define LEARN_FRAMES 48     /* of a span, at most; fewer of large boxes: LEARN_BYTES */
#define LEARN_LEAST 5       /* .. and at least */
#define LEARN_BYTES (96 << 20)
#define LEARN_MAX_BYTES 2e9  /* of all items together */
#define LEARN_MAX_ITEMS 256
#define LEARN_AROUND 24     /* pixels about the box that are searched where no region is named */

typedef struct LearnItem {
    const char *name;       /* for messages */
    const char *to;         /* PNG; its folder is made */
    bool judged;            /* signal and region are given, and its scores are wanted */
    /* SIGNAL_ICON, SIGNAL_SCREEN or SIGNAL_POSITION; its references are not looked at */
    Signal signal;
    Box region;             /* where it will look */
    Box box;                /* what is cut: whole reference pixels */
    int64_t from, last;     /* us; the same: one frame, the first at or after it */
    int nabsent;
    const LearnSpan *absent; /* where it is not to be seen */
} LearnItem;

typedef struct LearnOptions {
    const char *url;        /* a file */
    int width, height;      /* reference size; 0: the video's own */
    bool replace;           /* files that are there */
    int nitem;
    const LearnItem *item;
    const volatile sig_atomic_t *stop; /* ends as ERR_IO "stopped"; NULL */
} LearnOptions;

typedef struct LearnResult { /* of an item */
    Box box;                /* as cut: a mask's empty border is left out */
    int frames;             /* it was made of */
    int64_t first, last;    /* of these, us */
    float opaque;           /* share of `box` that counts; 1 of one frame */
    Separation judged;      /* if the item was */
} LearnResult;

/* out[nitem]; memory of `a`. ERR_INVALID: no such time, box, a box in which nothing stays the same,
 * or which is of one colour; ERR_IO; the errors of observer_new. */
int learn_run(Arena *a, ObserveHost *host, const LearnOptions *opt, LearnResult *out, Error *e);

/* Size of a stored video's pictures as they are shown. */
int learn_size(const char *url, int *width, int *height, Error *e);

#endif

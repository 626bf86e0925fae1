/* Where the reference picture lies in the frames of a stream: shift and scale, found by anchors.
 *
 *     align: {anchors: [{template: refs/corner.png, at: [16, 424]}, {template: refs/badge.png, at: [1180, 26]}],
 *             search: 24, scales: [0.8, 1.25]}
 *
 *     reference pixel * scale + shift = frame pixel            (FramePlace)
 *
 * Without anchors the reference picture is the whole frame, stretched. With anchors it may be
 * smaller or larger by one factor both ways, and lie elsewhere: letterboxed, in a window, cast with
 * a margin. It is looked for about two places: stretched over the frame, and whole in the middle of
 * it.
 *
 * **Search.** For scales in steps of 3 %, each anchor is correlated (kernel/ncc.h) with what lies
 * within `search` reference pixels of where it would be. A scale is as good as the anchors that
 * score at least `on` and agree where the picture lies; of equally many, the sum of their scores
 * counts. From two anchors on the best is refined by least squares. It is found if half of the
 * anchors agree, at least one.
 *
 * **After that** each frame is asked whether the anchors are still there, within 3 pixels; a shift
 * of more than 0.75 pixels is followed. All is searched anew when they are not, at once and then
 * each half second, and near by every `every`, as anchors may look right where scale drifts. What
 * has not been seen for longer than `hold` is lost. A new epoch and frames of another size forget
 * it all.
 *
 * An Aligner belongs to one thread at a time; the same frames give the same places. */
#ifndef LATHE_WATCH_ALIGN_H
#define LATHE_WATCH_ALIGN_H

#include "kernel/frame.h"
#include "watch/watch.h"

typedef struct Aligner Aligner;

/* Freed with the arena. *out NULL: the watch has no anchors. ERR_INVALID, ERR_IO: an anchor that
 * cannot be read, is of one colour or too large. */
int align_new(Arena *a, const Watch *w, Aligner **out, Error *e);
/* Looks at the next frame. True: the place is another than before, or lost, or found again: what
 * was seen before is no guide. */
bool align_look(Aligner *g, const Frame *f, int64_t t);
void align_reset(Aligner *g);

bool align_found(const Aligner *g);
/* Of the last frame, if found; else the whole frame. */
FramePlace align_place(const Aligner *g, const Frame *f);

/* Without anchors: the whole frame. */
FramePlace frame_place(const Watch *w, const Frame *f);
FrameBox place_box(const FramePlace *p, Box b);

typedef struct AlignCounts {
    int64_t looks, searches, lost; /* lost: looks at which it was */
    /* at the last look, if found: of the reference picture in what it was looked for about */
    double scale;
} AlignCounts;
AlignCounts align_counts(const Aligner *g);

#endif

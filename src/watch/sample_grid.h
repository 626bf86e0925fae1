/* Which samples of a stream are wanted, and what becomes of each: points of media time, counted by
 * fate.
 *
 *     at 2 a second     0    0.5   1     1.5   2     2.5
 *                       |     |    |      |    |      |
 *     frames given      x     x    x                  x          1.5 and 2 are passed over, with a cause
 *
 *     live_frame(l, grid.point, ..)
 *     grid_frame(&grid, &frame, arrival, &missed, step)   the point that this frame stands for is under way now
 *     grid_done(&grid, SAMPLE_JUDGED, step)               its fate; the next point
 *
 * Each point has one fate, so wanted = the sum over all fates. No sample is wanted where the
 * video has no frame: between frames that follow each other by their number, or between
 * keyframes if only these are looked at. Time without a connection is counted by the clock on
 * which frames arrive. Pure bookkeeping. */
#ifndef LATHE_WATCH_SAMPLE_GRID_H
#define LATHE_WATCH_SAMPLE_GRID_H

#include "watch/video.h"

typedef enum SampleFate {
    SAMPLE_JUDGED,
    SAMPLE_BUSY, /* the sample before was under way, or workers had no time: a newer frame was taken
                  */
    SAMPLE_LATE, /* given up: it could not be in time any more */
    SAMPLE_RATE, /* left out on purpose: overload */
    SAMPLE_LOST, /* the frame never came, or nothing could be decoded of it */
    SAMPLE_FATES
} SampleFate;

typedef struct SampleGrid { /* zero at first, but for `keyframes` and `live` */
    bool keyframes;        /* no other frames are looked at */
    bool live;             /* frames come in their time, not as fast as they can be read */
    bool begun, taken;     /* taken: a sample is under way */
    int64_t point;         /* the next one, us in the epoch */
    int64_t stands_for;    /* what it was before grid_pull; before `point`: nothing */
    int epoch;             /* of the last frame, as all that follows */
    int64_t t, number, arrival;
    int64_t spacing;       /* between keyframes; 0: not known */
    int64_t wanted, count[SAMPLE_FATES];
    /* us since the last sample that was judged in which frames came, but were not looked at: points
     * by all fates but SAMPLE_LOST */
    int64_t left_out;
} SampleGrid;

typedef struct FramesMissed { /* since the frame before */
    /* the point's time went by with nothing to decode: the frames were not there. Else it was us
     * who had no time */
    bool waited;
    bool lost;   /* packets were thrown away, or could not be decoded */
} FramesMissed;

/* The point of a grid of `step` us after t. */
int64_t grid_next(int64_t t, double step);
/* When the next point can be expected to arrive. */
int64_t grid_expected(const SampleGrid *g);

/* A frame came, at or after the point or of the next epoch. Returns how many points were passed
 * over by SAMPLE_BUSY. */
int64_t grid_frame(SampleGrid *g, const VideoFrame *f, int64_t arrival, const FramesMissed *missed,
                   double step);
void grid_done(SampleGrid *g, SampleFate fate, double step);
/* The next point is left out. */
void grid_skip(SampleGrid *g, SampleFate fate, double step);
/* Not the next point's frame is wanted but the one at t, which stands for it: less than a step
 * before or behind it. */
void grid_pull(SampleGrid *g, int64_t t);
/* No frame before t will come any more. */
void grid_quiet(SampleGrid *g, int64_t t, double step);

#endif

/* Which object of one sample is which of the next: a tracker of boxes.
 *
 * Two stages, as ByteTrack has them (Zhang et al. 2022, "ByteTrack", algorithm 1): what is surely
 * seen is given to tracks first, then what is hardly seen to the tracks that are left, so that an
 * object half hidden is not lost; only what is surely seen begins a track. In each stage all pairs
 * that can be are matched at least cost together (Kuhn 1955), so that two that cross do not change
 * places because one was asked first.
 *
 * A track is a Kalman filter of constant velocity. What it does not know grows with the time since
 * it was last seen, in sizes of its box: so how far an object is looked for follows from the time
 * that has passed, and nothing is counted in samples. The same scene gives the same tracks at 2 and
 * at 25 samples a second.
 *
 *   - A track is *confirmed* once it was seen for `confirm`: times between samples that both saw it, added up. It has a number from
 *     then on, 1, 2, 3 .. never used again before tracker_reset. Until then it is nobody: a flicker leaves no trace.
 *   - What is not confirmed is forgotten when it was away for `confirm`; what is, when it was away for `lost`, at the first
 *     sample that does not see it then. */
#ifndef LATHE_VISION_TRACK_H
#define LATHE_VISION_TRACK_H

#include <stdint.h>

#include "base/arena.h"

typedef struct TrackOptions {
    double high;           /* score of what is surely seen */
    /* overlap that is enough to be the same, whatever else; and asked of what is hardly seen */
    double iou;
    int64_t confirm, lost; /* us */
} TrackOptions;

typedef struct TrackSeen {
    float x, y, width, height; /* top left and size; finite */
    float score;
    uint64_t label; /* equal labels: equal numbers. A track keeps to its own */
} TrackSeen;

typedef struct Tracker Tracker;
/* Of `most` tracks and as many objects at a time; all memory is taken here. */
Tracker *tracker_new(Arena *a, const TrackOptions *opt, int most);
/* As made: numbers begin anew. */
void tracker_reset(Tracker *t);
/* All tracks are over: nothing was known for too long. */
void tracker_forget(Tracker *t);
/* A sample at `now` (us, never before the last one). track[i]: the confirmed track of seen[i], 0:
 * none (yet). */
void tracker_step(Tracker *t, int64_t now, const TrackSeen *seen, int n, int64_t *track);
/* Confirmed tracks that the last sample did not see, and that are not lost: how many, and their
 * numbers. */
int tracker_away(const Tracker *t, const int64_t **track);

#endif

/* What was seen: samples of a stream.
 *
 *     frame -> observations (this file) -> readings (reading.h) -> events (event.h)
 *
 * A *sample* is one frame that was looked at. It holds an *observation* for each signal: what the
 * pixels gave, before any threshold, pattern, vote or rule. All that has parameters worth a second
 * try comes after it, so that recorded samples (sample_json, one line each) can be judged anew
 * without the video, and give the same events to the bit.
 *
 * Time is media time of the stream, in microseconds, and never goes back within an *epoch*; a
 * jump of the stream's clock, or a new connection, begins the next epoch. Coordinates are pixels
 * of the watch's reference size. */
#ifndef LATHE_WATCH_OBSERVATION_H
#define LATHE_WATCH_OBSERVATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

struct Watch;

typedef struct Box { /* reference pixels, top left and size */
    float x, y, width, height;
} Box;

typedef struct FramePlace { /* reference pixel * scale + shift = pixel of the frame (align.h) */
    double scale_x, scale_y, shift_x, shift_y;
} FramePlace;

#define TRACK_OPEN (-1)

typedef struct Found { /* an object, a line of text, a place */
    Box box;
    float score;       /* 0 to 1 */
    const char *label; /* object: its class; line of text: the text */
    /* of objects: number of its confirmed track, from 1; 0: none yet; TRACK_OPEN: nobody has
     * looked, readings do */
    int64_t track;
    /* of objects' readings: area of the signal that holds its foot, "": none. NULL: not asked */
    const char *area;
} Found;

typedef enum ObservationState {
    OBSERVE_SKIPPED, /* nobody looked: no rule needed it */
    OBSERVE_UNKNOWN, /* looked, and nothing can be said: `reason` */
    OBSERVE_SEEN
} ObservationState;

/* What the fields mean, by kind of signal (watch.h):
 *
 *     text, line   text, score: mean probability of its characters. Empty text: nothing was read
 *     text, page   found: lines in reading order
 *     icon         score: correlation or similarity of the best place, -1 to 1; found[0]: that place; second: similarity to the
 *                  best of `others`, if there are any
 *     screen class text: label of the best; score; second: score of the best other label
 *     object       found
 *     motion       score: share of the region that changed, 0 to 1
 *     position     score; x, y: in coordinates of the map
 *     audio        score: probability of voice */
typedef struct Observation {
    ObservationState state;
    bool reused;        /* the region had not changed: the last observation again */
    /* of OBSERVE_UNKNOWN: "black", "flat", "outside", "align lost", "error" .. */
    const char *reason;
    float score, second;
    double x, y;
    const char *text; /* UTF-8 */
    int nfound;
    const Found *found;
} Observation;

typedef enum SampleClock { CLOCK_MEDIA, CLOCK_RTCP, CLOCK_PDT, CLOCK_ARRIVAL } SampleClock;

const char *clock_text(SampleClock c); /* "media" .. */

#define SAMPLE_MOST_LEFT_OUT (INT64_C(1) << 38) /* us: 3 days; they are added up */

typedef struct Sample {
    const char *stream;
    int epoch;
    int64_t t;          /* media time, us */
    int64_t frame;      /* number of the frame in its epoch, where known; -1 */
    int64_t wall;       /* capture by the clock named next, us since 1970; 0: a file */
    SampleClock clock;  /* where `wall` comes from */
    /* us since the sample before in which frames came, and were left out for want of time: that is
     * no silence */
    int64_t left_out;
    FramePlace place;   /* of the frame; scale 0: there is none, or it is not known. Not recorded */
    const Observation *at; /* one for each signal of the watch, in its order */
} Sample;

/* One line of JSON without the newline; shortest decimals that read back the same. Skipped
 * observations are left out. */
void sample_json(Str *out, const struct Watch *w, const Sample *s);
/* The inverse. Signals that the watch does not know are passed over, those the line lacks are
 * OBSERVE_SKIPPED. A line that is no sample is ERR_INVALID, with what was wrong. */
int sample_parse(Arena *a, const struct Watch *w, const char *line, size_t size, Sample *out,
                 Error *e);

#endif

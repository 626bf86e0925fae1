/* What streams show now, for people who look: last values of their signals, and a picture.
 *
 * Workers write after each sample that was judged, others read when they like; nobody waits for
 * long. Pictures are kept of streams alone that somebody asked for within BOARD_PICTURE seconds: a
 * stream that nobody looks at costs nothing. */
#ifndef LATHE_WATCH_BOARD_H
#define LATHE_WATCH_BOARD_H

#include "kernel/frame.h"
#include "watch/reading.h"

#define BOARD_PICTURE 10 /* seconds */
#define BOARD_SIDE 960   /* pixels: larger pictures are shrunk */

typedef struct BoardSignal {
    const char *name, *kind;
    const char *region;   /* NULL: the whole frame */
    Box box;              /* of it, reference pixels */
    /* as JSON: a number, a text, true, false, null (unknown), or a list of texts */
    const char *value;
    const char *why;      /* of an unknown one; "" */
    double score;         /* NaN: it has none */
} BoardSignal;

typedef struct BoardStream {
    const char *name, *watch, *path; /* path: of the watch's file */
    int width, height;    /* reference size */
    /* of the reference picture in the picture, as shares of its sides (align.h); 0, 0, 1, 1: all of
     * it */
    Box place;
    int epoch;
    int64_t t, wall;      /* of the last sample: media time, us; us since 1970 */
    int nsignal;
    const BoardSignal *signal;
} BoardStream;

typedef struct Board Board;

Board *board_new(void);
void board_free(Board *b); /* NULL is allowed */
void board_sample(Board *b, const Watch *w, const Sample *s, const Reading *reading,
                  const Frame *f);
/* The stream is no more. */
void board_remove(Board *b, const char *stream);

/* All streams that had a sample, in the order of their first, in `a`. */
int board_streams(Board *b, Arena *a, const BoardStream **out);
/* The picture of a stream as JPEG, in `a`. ERR_INVALID: there is no such stream; ERR_UNSUPPORTED:
 * this build writes no JPEG. *at NULL: none is there yet: ask again after the next sample. */
int board_picture(Board *b, Arena *a, const char *stream, const uint8_t **at, size_t *size,
                  Error *e);

#endif

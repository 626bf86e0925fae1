/* The H.264 of a video file, in memory, cut into frames and NAL units, and its AAC, if it has any:
 * what the test server sends. */
#ifndef LATHE_TESTS_MEDIA_H
#define LATHE_TESTS_MEDIA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/vec.h"

typedef struct Nal {
    const uint8_t *at; /* from its header byte, without a start code */
    int size;
} Nal;

typedef struct MediaFrame { /* in decoding order */
    int64_t pts, dts; /* us; the first pts is 0, the first dts may lie before */
    bool key;
    int first, n;     /* nal[first] .. nal[first + n) */
} MediaFrame;

typedef struct MediaSound { /* a frame of AAC */
    int64_t pts;      /* us, by the clock of the pictures */
    const uint8_t *at;
    int size;
} MediaSound;

typedef struct Media {
    VEC(Nal) nal;
    VEC(MediaFrame) frame;
    Nal sps, pps;
    int64_t duration; /* us, with the last frame's */
    VEC(MediaSound) sound;
    int rate, channels; /* of it */
    Nal config;         /* MPEG-4's AudioSpecificConfig */
} Media;

/* Files of H.264, with AAC or without; other streams in them are passed over. */
int media_read(Arena *a, const char *path, Media *out, Error *e);
/* The frame in the middle of the first group of pictures: a place to begin without what it refers
 * to. */
int media_middle(const Media *m);

#endif

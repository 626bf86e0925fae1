/* Small videos for tests: every frame has its number in black and white blocks. */
#ifndef LATHE_TESTS_WATCH_CLIP_H
#define LATHE_TESTS_WATCH_CLIP_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/frame.h"

#define CLIP_BLOCK 16
#define CLIP_BITS 12
#define CLIP_WIDTH (CLIP_BLOCK * 4)
#define CLIP_HEIGHT (CLIP_BLOCK * 3)

typedef struct ClipOptions {
    int frames, fps, gop, bframes; /* a keyframe each `gop` frames */
    int first;                     /* number of the first frame .. */
    int64_t start;                 /* .. and its time, in frames */
    int quarters;                  /* to be shown turned clockwise so often .. */
    bool mirrored;                 /* .. and then mirrored left to right */
    /* from this frame on pictures are twice as wide and high (of FLV and TS). 0: never */
    int resize_at;
} ClipOptions;

/* Container by the name of the file; the codec is H.264. */
void clip_write(const char *path, const ClipOptions *o);
/* An MP4 that was written, its pictures all zeros: as a download that reserved its room, and got no
 * further than the index. */
void clip_empty(const char *path);
/* The number in a frame, however it is to be turned. */
int clip_number(const Frame *f);

#endif

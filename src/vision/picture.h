/* Pictures: 8-bit RGB rows without padding, origin at the top left, (x, y) with y downwards.
 *
 * Coordinates of shapes (Quad) are continuous: pixel (i, j) covers [i, i+1) x [j, j+1), its centre
 * is at (i + 0.5, j + 0.5). */
#ifndef LATHE_VISION_PICTURE_H
#define LATHE_VISION_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "kernel/frame.h"

#define PICTURE_MAX_SIDE 32767
#define PICTURE_MAX_PIXELS (100 << 20)

typedef struct Picture {
    int width, height;
    uint8_t *rgb; /* (height, width, 3) */
} Picture;

typedef struct Point {
    float x, y;
} Point;

/* Four corners, clockwise from the top left as one reads: top left, top right, bottom right,
 * bottom left. */
typedef struct Quad {
    Point corner[4];
} Quad;

/* Black. The size must be legal. */
Picture *picture_new(Arena *a, int width, int height);
/* ERR_UNSUPPORTED for a size over the limits; for readers. */
int picture_check_size(int64_t width, int64_t height, const char *name, Error *e);

/* PNG or JPEG, by the first bytes; a JPEG as it is to be shown (exif.h). Transparent pixels are
 * laid over white. */
int picture_read(Arena *a, const char *path, Picture **out, Error *e);
int picture_write_png(const char *path, const Picture *p, Error *e);
/* alpha (height, width); NULL: opaque */
int picture_write_png_alpha(const char *path, const Picture *p, const uint8_t *alpha, Error *e);

/* The same without laying over white: *alpha (height, width), 255 where the picture is opaque; all
 * of it if the file does not say. */
int picture_read_alpha(Arena *a, const char *path, Picture **out, uint8_t **alpha, Error *e);

/* The two halves of picture_read, from memory; `name` is for messages. ERR_UNSUPPORTED where the
 * library was absent from the build. */
int png_decode(Arena *a, const char *name, const uint8_t *at, size_t size, Picture **out, Error *e);
int png_decode_alpha(Arena *a, const char *name, const uint8_t *at, size_t size, Picture **out,
                     uint8_t **alpha, Error *e);
int jpeg_decode(Arena *a, const char *name, const uint8_t *at, size_t size, Picture **out,
                Error *e);

/* A picture that lies so, as it is to be shown. */
Picture *picture_turned(Arena *a, Picture *p, FrameTurn turn);

/* In the arena; quality 1 to 100. ERR_UNSUPPORTED where the library was absent from the build. */
int jpeg_encode(Arena *a, const Picture *p, int quality, const uint8_t **at, size_t *size,
                Error *e);
bool jpeg_can_encode(void);

/* What a model wants to see of a part of a picture: `quad` straightened to width x height by
 * bilinear interpolation (edges repeated), each channel as value * scale + shift, in planes of
 * `stride` floats a row. Crop, rotation, resize and normalisation are one step, so that no pixel is
 * rounded twice. planes (3, height, stride) */
typedef struct SampleOptions {
    float scale, shift;
    bool bgr; /* order of the planes */
} SampleOptions;
void picture_sample(const Picture *p, const Quad *quad, int width, int height, int stride,
                    const SampleOptions *opt, float *planes);
Quad picture_quad(const Picture *p); /* all of it */

#endif

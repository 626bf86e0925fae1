/* Models of pictures as signals and `lathe read` use them: compiled on first use for the size that is asked for, by way of the
 * disk cache, and kept.
 *
 *     float *planes;
 *     if (net_input(net, 48, 320, &planes, &e) == 0) {
 *         ... fill planes (3, 48, 320) ...
 *         const Tensor *y;
 *         net_execute(net, 0, &y, &e);                 // y: valid until the next net_execute
 *     }
 *
 * The model has one f32 input (1,3,H,W). With `open_width` it is compiled once for a height and all widths, which takes up to an
 * eighth longer to run but serves lines of text of any length; else once for each size. A Net belongs to one thread at a
 * time. */
#ifndef LATHE_WATCH_PICTURE_NET_H
#define LATHE_WATCH_PICTURE_NET_H

#include "runtime/run.h"

typedef struct NetHost { /* what the nets of a process share; outlives them */
    Pool *pool;
    int threads;       /* to compile with, and of each run */
    const char *cache; /* folder; NULL: none */
    void (*progress)(void *arg, const char *what, int done, int total); /* arg: double *, when it began. NULL: silent */
} NetHost;

typedef struct Net Net;

/* Freed with the arena. Looks into the model; compiles nothing yet. */
int net_open(Arena *a, const NetHost *host, const char *path, bool open_width, Net **out, Error *e);
/* `output`: a value inside the model, by its name, that is given out in place of its outputs; NULL: these. */
int net_open_inside(Arena *a, const NetHost *host, const char *path, const char *output, Net **out, Error *e);
/* planes (3, height, width), with what the last caller of this size left in them. */
int net_input(Net *n, int height, int width, float **planes, Error *e);
/* On what net_input gave last. `output`: its number. */
int net_execute(Net *n, int output, const Tensor **out, Error *e);
const char *net_path(const Net *n);
const char *net_inside(const Net *n); /* as given; NULL: none */
/* What the model says of its input's height and width; 0: open. */
void net_size(const Net *n, int *height, int *width);
/* Of the metadata; NULL: it does not say. */
const char *net_metadata(const Net *n, const char *key);
double net_compile_seconds(const Net *n); /* so far */

/* A model out of the packages that bring some ("rapidocr_onnxruntime/models/x.onnx"): below $LATHE_MODELS, or
 * .models here. NULL: it is nowhere; then *looked says where it was looked for. */
const char *net_find_model(Arena *a, const char *name, const char **looked);

#endif

/* Models that all streams share: requests of many run together, as batches, on the workers that
 * take them.
 *
 *     Infer *inf = infer_new(arena, &nets, workers);
 *     infer_open(inf, path, &(InferShapes){.open_width = true, .width = {96}}, &model, &e);
 *     InferRequest q = {.model = model, .height = 48, .width = 96, .planes = .., .done = wake, .arg = me,
 *                       .r = {.arrival = .., .deadline = .., .source = ..}};
 *     infer_post(&q)                  // some time later, on a worker: q.done(&q)
 *     tensor_unref(q.result)
 *
 * One *module* for each size of input, or one for all widths of a height; where the model leaves
 * the number of pictures open, so does the module. One *class* of requests for each model and size:
 * only equal sizes share a batch. A class has a batcher (sched/batcher.h) and a profile, which is
 * measured by what runs. A batch runs on one thread, that of the worker that took it.
 *
 * **The result of a picture does not depend on what it shares a batch with**, to the bit. That is
 * so because a module's loops over pictures are outside of all sums; each module is tried once it
 * is compiled, with pictures by chance alone and together, and one for which it is not so runs one
 * at a time, as do those that fix their number of pictures.
 *
 * What batches gain: PP-OCR's recogniser, ms a line, one thread of a Zen 5 core (minima of 16 runs,
 * of 4 at width 320, in which nothing else ran):
 *
 *     lines in a batch           1      2      3      4      6      8     12     16
 *     48 x 96                 5.29   5.01   5.23   5.15   5.70   4.96   5.09   5.22
 *     48 x 96, any width      6.31   6.01   6.85   6.13   6.56   5.86   5.95   6.18
 *     48 x 320               20.6   19.5   18.1   19.2   20.8   24.8   32.1   27.3
 *
 * A line alone uses its 10 MB of weights often enough: reading them is 5 % of its time, and no more
 * can be saved. At width 320, what more than six lines have between layers no longer lies in the
 * cache. Leaving the number of lines open costs nothing (static: 5.48 and 18.9 for one line). So a
 * profile like these chooses batches of two.
 *
 * In bf16 by tiles (a Xeon with AMX) it does cost, so there pictures run one by one:
 *
 *     lines in a batch           1      2      4      8
 *     48 x 96                 1.30   1.29   1.41   1.49
 *     48 x 96, static         0.90   0.89   0.98   1.06
 *     48 x 128, any width     5.50   5.38                  (static 1.04, 1.00; in f32 4.80, 3.98, static 3.34, 3.07)
 *
 * All functions may be called from any thread, but those of which something else is said. */
#ifndef LATHE_WATCH_INFERENCE_H
#define LATHE_WATCH_INFERENCE_H

#include "sched/batcher.h"
#include "sched/workers.h"
#include "watch/model_precision.h"
#include "watch/picture_net.h"

#define INFER_BATCH 16  /* largest */
#define INFER_WIDTHS 6

typedef struct Infer Infer;
typedef struct InferModel InferModel;

/* workers: of all that is posted; NULL: there are none, and infer_run runs what is asked. Both
 * outlive it. With workers a run has one thread, else nets->threads. Freed with the arena, when all
 * that was posted has ended; what is being compiled is waited for. */
Infer *infer_new(Arena *a, const NetHost *nets, Workers *workers);

typedef struct InferShapes {
    /* one module for a height and all widths, which takes a sixth longer to run, by tiles much
     * more.. */
    bool open_width;
    int width[INFER_WIDTHS];   /* ..but for these, which have their own; 0: no more */
    /* a value inside the model, by its name, that is given out in place of its outputs; NULL:
     * these */
    const char *output;
    ModelPrecision precision;
} InferShapes;

/* Looks into a model of pictures, which has one input, f32 (1,3,H,W), and compiles nothing yet. The
 * same file, shapes and precision give the same model. */
int infer_open(Infer *inf, const char *path, const InferShapes *shapes, InferModel **out, Error *e);
/* Compiles, and waits for it, what requests of this size need; else it is done when the first of
 * them comes, which waits for it. */
int infer_prepare(InferModel *m, int height, int width, Error *e);
/* For who cannot wait for a compile: if what requests of this size need is not there, that begins,
 * and the size becomes the nearest that can run now, if one is no further off than a half or the
 * double each way. Those who have workers. */
void infer_size_now(InferModel *m, int *height, int *width);
const char *infer_path(const InferModel *m);
const char *infer_inside(const InferModel *m); /* InferShapes.output */
ModelPrecision infer_precision(const InferModel *m);
/* What the model says of its input's height and width; 0: open. */
void infer_input_size(const InferModel *m, int *height, int *width);
double infer_compile_seconds(const InferModel *m); /* so far */
/* Of the metadata, in `a`; NULL: it does not say. */
const char *infer_metadata(const InferModel *m, Arena *a, const char *key);

typedef enum InferEnd {
    INFER_OPEN,
    INFER_DONE,
    INFER_LATE /* given up */,
    INFER_WITHDRAWN,
    INFER_FAILED
} InferEnd;

typedef struct InferRequest {
    Request r;            /* first; arrival, deadline, source: who asks sets them */
    InferModel *model;
    int height, width;
    const float *planes;  /* (3,height,width); at a multiple of 64 bytes, untouched until the end */
    int output;           /* its number */
    /* at the end; from a worker, or within infer_post and the like; NULL: nobody waits for it */
    void (*done)(struct InferRequest *q);
    void *arg;            /* for who asks */
    /* The end: */
    InferEnd end;
    /* INFER_DONE: output of the whole batch, (pictures,..); a reference of who asked */
    Tensor *result;
    int item, pictures;   /* which picture of it, of how many */
    double seconds;       /* its share of the batch's time */
    int code;             /* INFER_FAILED, and why */
    char error[200];
    struct InferClass *in; /* infer's */
} InferRequest;

/* Sets what is asked: planes (3,height,width), zero, in `a`, for who asks to fill; they stay until
 * the end. */
float *infer_planes(Arena *a, InferModel *m, int height, int width, InferRequest *q);

/* The result of the picture that was asked for: as the model gives it for one alone. Valid as long
 * as `result`. */
typedef struct InferOutput {
    DType dtype;
    int rank;
    int64_t dim[MAX_RANK], elements;
    const float *values; /* NULL: they are no DT_F32 */
} InferOutput;
InferOutput infer_output(const InferRequest *q);

/* Never waits. Those who have workers. */
void infer_post(InferRequest *q);
/* INFER_WITHDRAWN, if it has not begun yet: then `done` is called within. Else it ends as it
 * would. */
void infer_withdraw(InferRequest *q);
/* Runs all of them on this thread; deadlines do not count. Without workers in batches, for one
 * thread at a time; with them one by one, for who opens something and can wait. */
void infer_run(Infer *inf, int n, InferRequest *const *q);

typedef struct InferStatus { /* of a class */
    const char *path;
    int height, width;
    BatcherCounts counts;
    BatchProfile profile;
} InferStatus;

/* The class `i`, in no order; false: there are no more. */
bool infer_status(Infer *inf, int i, InferStatus *out);

#endif

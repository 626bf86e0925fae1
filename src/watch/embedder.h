/* Pictures -> vectors that point the same way if the pictures look alike: by what a model's layer
 * makes of them.
 *
 *     (1,C,h,w)  means over a grid of at most 4 x 4 cells: what is where, roughly
 *     (1,T,C)    the mean over T
 *     else       the values as they are
 *
 * Each channel is then taken relative to what it makes of pictures that show nothing (patches of
 * random colours: mean 0, deviation 1), since layers' values have much in common whatever the
 * picture. The vector's length is 1: the product of two is their cosine.
 *
 * The default is an inner layer of PP-OCR's detector, which knows strokes and corners of all
 * kinds; it costs 1 ms. */
#ifndef LATHE_WATCH_EMBEDDER_H
#define LATHE_WATCH_EMBEDDER_H

#include "watch/observe_parts.h"

#define EMBED_MODEL "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"
#define EMBED_OUTPUT                                                                               \
    "conv2d_456.tmp_0" /* after 192 channels at a sixteenth of the size were mixed first */

typedef struct Embedder Embedder;

/* Compiles the model (output: of a value inside it; NULL: its own) and shows it what it is measured
 * by. */
int embedder_open(Arena *a, Infer *infer, const char *model, const char *output,
                  ModelPrecision precision, const PictureInput *in, Embedder **out, Error *e);
bool embedder_is(const Embedder *m, const char *model, const char *output, ModelPrecision precision,
                 const PictureInput *in);
int embedder_size(const Embedder *m); /* of its vectors */
/* Of a box of the frame: what is asked of the model, in l->tmp; and the vector, when that is
 * answered. ERR_INVALID: what the model makes of it is no number. */
void embedder_ask(const Embedder *m, const Look *l, const FrameBox *box, InferRequest *q);
int embedder_take(const Embedder *m, Arena *tmp, const InferRequest *q, float *out, Error *e);
/* Of a picture file, transparent pixels over gray; in the middle of a gray picture of `width` x
 * `height`, if it is smaller: so an icon has the place that it will have in its region. 0: as it
 * is. */
int embedder_read(Embedder *m, Arena *a, const char *path, int width, int height, const float **out,
                  Error *e);
float embedder_cosine(const Embedder *m, const float *a, const float *b);

/* Of a signal that names no model, the default one; *output likewise. ERR_IO: it is not there. */
int embedder_model(Arena *a, const Signal *s, const char **model, const char **output, Error *e);

#endif

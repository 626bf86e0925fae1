/* Pooling, the measure of nothing, cosines. */
#include "watch/embedder.h"

#include <math.h>
#include <string.h>

#include "vision/picture.h"
#include "watch/pattern.h"
#include "watch/picture_input.h"

#define MISSING_SIZE 224
#define GRID 4
#define NOTHINGS 32 /* pictures of nothing */
#define GRAY 110    /* under transparent pixels */

struct Embedder {
    Infer *infer;
    InferModel *model;
    PictureInput input;
    int width, height;
    int size, channels; /* size: cells times channels; channels innermost */
    float *mean, *scale; /* of each channel */
};

/* ---- layers ---- */

/* (C,h,w) -> (gh,gw,C) */
static void pool_cells(const float *y, int64_t channels, int64_t h, int64_t w, int64_t gh,
                       int64_t gw, float *out)
{
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < gh; i++)
            for (int64_t j = 0; j < gw; j++) {
                const int64_t y0 = i * h / gh, y1 = (i + 1) * h / gh, x0 = j * w / gw,
                              x1 = (j + 1) * w / gw;
                double sum = 0;
                for (int64_t v = y0; v < y1; v++)
                    for (int64_t u = x0; u < x1; u++)
                        sum += (double)y[(c * h + v) * w + u];
                out[(i * gw + j) * channels + c] = (float)(sum / (double)((y1 - y0) * (x1 - x0)));
            }
}

static int64_t at_most(int64_t v, int64_t most) { return v < most ? v : most; }

/* Cells and channels of a layer; false: it cannot be one. */
static bool layer_shape(const InferOutput *y, int64_t *cells, int64_t *channels)
{
    const int64_t n = y->elements;
    if (!y->values || y->rank < 1 || n < 2 || n > 1 << 24 || (y->rank > 1 && y->dim[0] != 1))
        return false;
    *cells = y->rank == 4 ? at_most(y->dim[2], GRID) * at_most(y->dim[3], GRID) : 1;
    *channels = y->rank == 4 ? y->dim[1] : y->rank == 3 ? y->dim[2] : n;
    return *cells * *channels >= 2;
}

static void pool(const InferOutput *y, float *out)
{
    if (y->rank == 4)
        pool_cells(y->values, y->dim[1], y->dim[2], y->dim[3], at_most(y->dim[2], GRID),
                   at_most(y->dim[3], GRID), out);
    else if (y->rank ==
             3) /* tokens: a picture C apart, T high and 1 wide, were it the other way round */
        for (int64_t c = 0; c < y->dim[2]; c++) {
            double sum = 0;
            for (int64_t t = 0; t < y->dim[1]; t++)
                sum += (double)y->values[t * y->dim[2] + c];
            out[c] = (float)(sum / (double)y->dim[1]);
        }
    else
        memcpy(out, y->values, (size_t)y->elements * sizeof *out);
}

void embedder_ask(const Embedder *m, const Look *l, const FrameBox *box, InferRequest *q)
{
    float *const planes = infer_planes(l->tmp, m->model, m->height, m->width, q);
    picture_input_fill(l, box, &m->input, m->width, m->height, true, planes);
}

static int not_comparable(const Embedder *m, Arena *tmp, const InferRequest *q, Error *e)
{
    return error_set(e, ERR_INVALID, "%s: pictures are not compared by an output of %s",
                     infer_path(m->model), tensor_describe(tmp, q->result));
}

/* The layer as it is, pooled, in `a`. */
static int take_layer(const Embedder *m, Arena *a, const InferRequest *q, float **out, Error *e)
{
    const InferOutput y = infer_output(q);
    int64_t cells, channels;
    if (!layer_shape(&y, &cells, &channels) || cells * channels != m->size)
        return not_comparable(m, a, q, e);
    *out = arena_array_of(a, m->size, float);
    pool(&y, *out);
    for (int i = 0; i < m->size; i++)
        if (!isfinite((*out)[i]))
            return error_set(e, ERR_INVALID, "%s: its output holds what is no finite number",
                             infer_path(m->model));
    return 0;
}

/* ---- the measure ---- */

static uint8_t dice(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(*seed >> 56);
}

/* Patches of random colours: large and small, with sharp edges and with soft ones. */
static Picture *nothing(Arena *a, int which, int width, int height)
{
    static const int patches[] = {2, 3, 4, 6, 8, 12, 16, 32};
    uint64_t seed = (uint64_t)which * 77 + 1;
    const int n = patches[which % 8];
    const bool sharp = which / 8 % 2;
    Picture *const small = picture_new(a, n, n);
    for (int i = 0; i < 3 * n * n; i++)
        small->rgb[i] = dice(&seed);
    if (!sharp)
        return small; /* resizing makes it soft */
    Picture *const p = picture_new(a, width, height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            memcpy(p->rgb + 3 * (y * width + x),
                   small->rgb + 3 * (y * n / height * n + x * n / width), 3);
    return p;
}

static Look look_at_picture(Arena *tmp, const Picture *p, Frame *f)
{
    *f = (Frame){.format = FRAME_RGB24,
                 .width = p->width,
                 .height = p->height,
                 .plane = {p->rgb},
                 .stride = {3 * p->width},
                 .full = true};
    return (Look){.frame = f, .tmp = tmp};
}

/* Now, in `tmp`. The first one tells the size of layers. */
static int run_picture(Embedder *m, Arena *tmp, const Picture *p, float **out, Error *e)
{
    Frame f;
    InferRequest q = {0}, *const one = &q;
    const Look l = look_at_picture(tmp, p, &f);
    const FrameBox all = {0, 0, p->width, p->height};
    embedder_ask(m, &l, &all, &q);
    infer_run(m->infer, 1, &one);
    if (q.end != INFER_DONE)
        return error_set(e, q.code, "%s", q.error);
    const InferOutput y = infer_output(&q);
    int64_t cells, channels;
    int code = 0;
    if (m->size == 0 && !layer_shape(&y, &cells, &channels)) {
        code = not_comparable(m, tmp, &q, e);
    } else if (m->size == 0) {
        m->channels = (int)channels;
        m->size = (int)(cells * channels);
    }
    if (code == 0)
        code = take_layer(m, tmp, &q, out, e);
    tensor_unref(q.result);
    return code;
}

/* A channel that hardly differs is no measure of anything: its share is bounded. */
static void set_measure(Embedder *m, Arena *a, float *const *of)
{
    double *const square = arena_array_of(a, m->channels, double), *const sum =
                                                                       arena_array_of(a,
                                                                                      m->channels,
                                                                                      double);
    const double n = (double)NOTHINGS * m->size / m->channels;
    double all = 0;
    for (int k = 0; k < NOTHINGS; k++)
        for (int i = 0; i < m->size; i++) {
            sum[i % m->channels] += (double)of[k][i];
            square[i % m->channels] += (double)of[k][i] * (double)of[k][i];
        }
    for (int c = 0; c < m->channels; c++) {
        sum[c] /= n;
        square[c] = sqrt(fmax(0, square[c] / n - sum[c] * sum[c]));
        all += square[c] / m->channels;
    }
    for (int c = 0; c < m->channels; c++) {
        m->mean[c] = (float)sum[c];
        m->scale[c] = all > 0 ? (float)(1 / (square[c] + 0.05 * all)) : 0;
    }
}

int embedder_open(Arena *a, Infer *infer, const char *model, const char *output,
                  ModelPrecision precision, const PictureInput *in, Embedder **out, Error *e)
{
    Embedder *const m = arena_new_of(a, Embedder);
    *m = (Embedder){.infer = infer, .input = *in};
    *out = m;
    int code = infer_open(infer, model, &(InferShapes){.output = output, .precision = precision},
                          &m->model, e);
    if (code == 0)
        code = picture_input_size(in, m->model, MISSING_SIZE, &m->width, &m->height, e);
    Arena *const tmp = arena_new();
    float *of[NOTHINGS];
    for (int k = 0; k < NOTHINGS && code == 0; k++)
        code = run_picture(m, tmp, nothing(tmp, k, m->width, m->height), &of[k], e);
    if (code == 0) {
        m->mean = arena_array_of(a, m->channels, float);
        m->scale = arena_array_of(a, m->channels, float);
        set_measure(m, tmp, of);
    }
    arena_free(tmp);
    return code;
}

bool embedder_is(const Embedder *m, const char *model, const char *output, ModelPrecision precision,
                 const PictureInput *in)
{
    const PictureInput *const own = &m->input;
    const bool same = own->fit == in->fit && own->width == in->width && own->height == in->height &&
                      own->fill == in->fill && own->bgr == in->bgr &&
                      memcmp(own->mean, in->mean, sizeof in->mean) == 0 &&
                      memcmp(own->scale, in->scale, sizeof in->scale) == 0;
    return same && infer_precision(m->model) == precision &&
           text_same(infer_path(m->model), model) && text_same(infer_inside(m->model), output);
}

int embedder_size(const Embedder *m) { return m->size; }

/* ---- vectors ---- */

static void normalise(const Embedder *m, const float *from, float *out)
{
    double square = 0;
    for (int i = 0; i < m->size; i++) {
        out[i] = (from[i] - m->mean[i % m->channels]) * m->scale[i % m->channels];
        square += (double)out[i] * (double)out[i];
    }
    const float by = square > 0 ? (float)(1 / sqrt(square)) : 0;
    for (int i = 0; i < m->size; i++)
        out[i] *= by;
}

int embedder_take(const Embedder *m, Arena *tmp, const InferRequest *q, float *out, Error *e)
{
    float *layer;
    const int code = take_layer(m, tmp, q, &layer, e);
    if (code == 0)
        normalise(m, layer, out);
    return code;
}

/* Over gray, in the middle. */
static Picture *framed(Arena *a, const Picture *p, const uint8_t *alpha, int width, int height)
{
    const int w = width > p->width ? width : p->width, h = height > p->height ? height : p->height;
    Picture *const out = picture_new(a, w, h);
    memset(out->rgb, GRAY, 3 * (size_t)w * (size_t)h);
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++) {
            const size_t from = (size_t)y * (size_t)p->width + (size_t)x;
            uint8_t *const to = out->rgb + 3 * ((size_t)(y + (h - p->height) / 2) * (size_t)w +
                                                (size_t)(x + (w - p->width) / 2));
            for (int c = 0; c < 3; c++)
                to[c] = (uint8_t)((p->rgb[3 * from + (size_t)c] * alpha[from] +
                                   GRAY * (255 - alpha[from]) + 127) /
                                  255);
        }
    return out;
}

int embedder_read(Embedder *m, Arena *a, const char *path, int width, int height, const float **out,
                  Error *e)
{
    Arena *const tmp = arena_new();
    Picture *p;
    uint8_t *alpha;
    float *layer;
    int code = picture_read_alpha(tmp, path, &p, &alpha, e);
    if (code == 0)
        code = run_picture(m, tmp, framed(tmp, p, alpha, width, height), &layer, e);
    if (code == 0) {
        float *const v = arena_array_of(a, m->size, float);
        normalise(m, layer, v);
        *out = v;
    }
    arena_free(tmp);
    return code;
}

float embedder_cosine(const Embedder *m, const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < m->size; i++)
        sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

int embedder_model(Arena *a, const Signal *s, const char **model, const char **output, Error *e)
{
    const char *const given = s->kind == SIGNAL_ICON ? s->icon.output : s->screen.output,
                      *looked = NULL;
    *output = s->model || given ? given : EMBED_OUTPUT;
    *model = s->model ? s->model : net_find_model(a, EMBED_MODEL, &looked);
    return *model ? 0
                  : error_set(e, ERR_IO,
                              "no model to compare pictures by: no file %s (make it by "
                              "`scripts/setup demo`, name another "
                              "folder by LATHE_MODELS, or a file by 'model')",
                              looked);
}

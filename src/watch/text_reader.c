/* The two models of a TextReader, and the shapes they get. */
#include "watch/text_reader.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "vision/draw.h"

#define LINE_WIDTH_STEP 32 /* shapes that a run plans its memory for: not too many */
#define LINE_MAX_WIDTH 3200
#define ANY_WIDTH 352      /* a line that is not of the widths below */

/* Short lines are filled up to one of these: each has its own module. */
static const InferShapes line_shapes = {.open_width = true, .width = {96, 128, 160, 192, 256, 320}};

struct TextReader {
    Infer *infer;
    InferModel *det, *rec;
    OcrAlphabet alphabet;
    TextTimes times; /* of text_reader_find and text_reader_line */
};

int text_reader_open(Arena *a, Infer *infer, const char *detector, const char *recogniser,
                     ModelPrecision precision, TextReader **out, Error *e)
{
    TextReader *const r = arena_new_of(a, TextReader);
    r->infer = infer;
    InferShapes lines = line_shapes;
    lines.precision = precision;
    int code = detector
                   ? infer_open(infer, detector, &(InferShapes){.precision = precision}, &r->det, e)
                   : 0;
    if (code == 0)
        code = infer_open(infer, recogniser, &lines, &r->rec, e);
    if (code != 0)
        return code;
    const char *const characters = infer_metadata(r->rec, a, "character");
    if (!characters)
        return error_set(e, ERR_INVALID, "%s: no recogniser: its metadata has no list 'character'",
                         recogniser);
    r->alphabet = ocr_alphabet(a, characters);
    *out = r;
    return 0;
}

static int round_to_32(float v)
{
    const int n = (int)lrintf(v / 32) * 32;
    return n < 32 ? 32 : n;
}

/* What the detector sees of a source. */
static void detector_size(int width, int height, int side, int *w, int *h)
{
    const int longest = width > height ? width : height;
    const float scale = longest > side ? (float)side / (float)longest : 1;
    *w = round_to_32((float)width * scale);
    *h = round_to_32((float)height * scale);
}

int text_reader_prepare(TextReader *r, int width, int height, int side, Error *e)
{
    int w, h, code = 0;
    for (int i = 0; i < INFER_WIDTHS && line_shapes.width[i] > 0 && code == 0; i++)
        code = infer_prepare(r->rec, TEXT_LINE_HEIGHT, line_shapes.width[i], e);
    if (code == 0)
        code = infer_prepare(r->rec, TEXT_LINE_HEIGHT, ANY_WIDTH, e);
    detector_size(width, height, side, &w, &h);
    return code == 0 && r->det && width > 0 ? infer_prepare(r->det, h, w, e) : code;
}

void text_reader_ask_boxes(const TextReader *r, Arena *a, const TextSource *s, int side, bool now,
                           InferRequest *q)
{
    int w, h;
    detector_size(s->width, s->height, side, &w, &h);
    if (now)
        infer_size_now(r->det, &h, &w);
    const float right = (float)s->width, bottom = (float)s->height;
    const Quad all = {.corner = {{0, 0}, {right, 0}, {right, bottom}, {0, bottom}}};
    s->sample(s->arg, &all, w, h, w, infer_planes(a, r->det, h, w, q));
}

int text_reader_take_boxes(const TextReader *r, Arena *a, const TextSource *s,
                           const InferRequest *q, OcrBox **box, int *n, Error *e)
{
    const InferOutput y = infer_output(q);
    if (!y.values || y.elements != (int64_t)q->width * q->height)
        return error_set(e, ERR_INVALID, "%s: no text detector: its output is %s",
                         infer_path(r->det), tensor_describe(a, q->result));
    const OcrDetectOptions opt = OCR_DETECT_DEFAULTS;
    *n = ocr_detect(a, y.values, q->width, q->height, s->width, s->height, &opt, box);
    return 0;
}

/* Of the input for a line so wide. */
static int input_width(int line)
{
    for (int i = 0; i < INFER_WIDTHS && line_shapes.width[i] > 0; i++)
        if (line <= line_shapes.width[i])
            return line_shapes.width[i];
    return (line + LINE_WIDTH_STEP - 1) / LINE_WIDTH_STEP * LINE_WIDTH_STEP;
}

void text_reader_ask_line(const TextReader *r, Arena *a, const TextSource *s, const Quad *box,
                          int min_width, InferRequest *q)
{
    const Quad quad = ocr_text_quad(box);
    int text = ocr_text_width(&quad, TEXT_LINE_HEIGHT);
    text = text < LINE_MAX_WIDTH ? text : LINE_MAX_WIDTH;
    const int width = input_width(text > min_width ? text : min_width);
    s->sample(s->arg, &quad, text, TEXT_LINE_HEIGHT, width,
              infer_planes(a, r->rec, TEXT_LINE_HEIGHT, width, q));
}

int text_reader_take_line(const TextReader *r, Arena *a, const InferRequest *q, const bool *classes,
                          OcrText *out, Error *e)
{
    const InferOutput y = infer_output(q);
    if (!y.values || y.rank != 3 || y.dim[2] != r->alphabet.n)
        return error_set(e, ERR_INVALID, "%s: no recogniser of %d classes: its output is %s",
                         infer_path(r->rec), r->alphabet.n, tensor_describe(a, q->result));
    *out = ocr_text_decode(a, y.values, (int)y.dim[1], &r->alphabet, classes);
    return 0;
}

static int answer(TextReader *r, InferRequest *q, Error *e)
{
    infer_run(r->infer, 1, &q);
    return q->end == INFER_DONE ? 0 : error_set(e, q->code, "%s", q->error);
}

int text_reader_find(TextReader *r, Arena *a, const TextSource *s, int side, OcrBox **box, int *n,
                     Error *e)
{
    InferRequest q = {0};
    Arena *const tmp = arena_new();
    const double start = time_now(), compiled = infer_compile_seconds(r->det);
    text_reader_ask_boxes(r, tmp, s, side, false, &q);
    int code = answer(r, &q, e);
    const double found = time_now();
    if (code == 0)
        code = text_reader_take_boxes(r, a, s, &q, box, n, e);
    r->times.detect += found - start - (infer_compile_seconds(r->det) - compiled);
    r->times.boxes += time_now() - found;
    tensor_unref(q.result);
    arena_free(tmp);
    return code;
}

int text_reader_line(TextReader *r, Arena *a, const TextSource *s, const Quad *box, int min_width,
                     const bool *classes, OcrText *out, Error *e)
{
    InferRequest q = {0};
    Arena *const tmp = arena_new();
    const double start = time_now(), compiled = infer_compile_seconds(r->rec);
    text_reader_ask_line(r, tmp, s, box, min_width, &q);
    int code = answer(r, &q, e);
    if (code == 0)
        code = text_reader_take_line(r, a, &q, classes, out, e);
    r->times.read += time_now() - start - (infer_compile_seconds(r->rec) - compiled);
    tensor_unref(q.result);
    arena_free(tmp);
    return code;
}

const bool *text_reader_classes(const TextReader *r, Arena *a, const char *charset,
                                const char **unknown)
{
    bool *const out = arena_array_of(a, r->alphabet.n, bool);
    out[0] = true; /* the blank */
    *unknown = NULL;
    while (*charset != '\0') {
        const char *const start = charset;
        utf8_next(&charset);
        const char *const character = arena_strndup(a, start, (size_t)(charset - start));
        bool known = false;
        for (int i = 1; i < r->alphabet.n; i++) {
            if (strcmp(r->alphabet.class[i], character) != 0)
                continue;
            out[i] = known = true;
        }
        if (!known)
            *unknown = character;
    }
    return out;
}

TextTimes text_reader_times(const TextReader *r)
{
    TextTimes t = r->times;
    t.compile = infer_compile_seconds(r->rec) + (r->det ? infer_compile_seconds(r->det) : 0);
    return t;
}

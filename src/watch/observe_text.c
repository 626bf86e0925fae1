/* Text: a cell that holds one line goes to the recogniser as it is; of a page the detector finds
 * the lines first. */
#include <math.h>
#include <string.h>

#include "vision/ink.h"
#include "watch/observe_parts.h"

#define CELL_MIN_WIDTH 96 /* of the recogniser's input for a cell */
#define PAGE_SIDE 960     /* a page is made at most so long for the detector */

typedef struct TextState {
    TextReader *reader;
    const bool *classes; /* of the charset; NULL: all */
    const OcrBox *box;   /* of a page: its lines, while they are read */
    int nbox;
} TextState;

#define RECOGNISER "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"
#define DETECTOR "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"

static int find_model(Arena *a, const char *given, const char *name, const char **out, Error *e)
{
    const char *looked = NULL;
    *out = given ? given : net_find_model(a, name, &looked);
    return *out ? 0
                : error_set(e, ERR_IO,
                            "no model for text: no file %s (make it by `scripts/setup demo`, name "
                            "another folder by "
                            "LATHE_MODELS, or files by 'model: {recogniser: .., detector: ..}')",
                            looked);
}

static int open(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    const TextSignal *const t = &s->signal->text;
    TextState *const state = arena_new_of(a, TextState);
    s->kind = state;
    const char *recogniser, *detector = NULL, *unknown;
    int code = find_model(a, s->signal->model, RECOGNISER, &recogniser, e);
    if (code == 0 && t->mode == TEXT_PAGE)
        code = find_model(a, w->detector, DETECTOR, &detector, e);
    if (code == 0)
        code = host_text_reader(host, detector, recogniser, w->precision, &state->reader, e);
    if (code == 0 &&
        host_prepares(host)) /* for frames of the reference size; others wait for theirs */
        code = text_reader_prepare(state->reader, detector ? box_width(s->region) : 0,
                                   box_height(s->region), PAGE_SIDE, e);
    if (code != 0 || !t->charset)
        return code;
    state->classes = text_reader_classes(state->reader, a, t->charset, &unknown);
    if (unknown)
        return error_set(e, ERR_INVALID, "the recogniser cannot write '%s' of 'charset'", unknown);
    return 0;
}

typedef struct RegionSource {
    const Look *look;
    FrameBox box; /* of the region, in pixels of the frame */
} RegionSource;

/* Text on screens is upright: the smallest upright box around the quad. */
static void sample(void *arg, const Quad *q, int width, int height, int stride, float *planes)
{
    const RegionSource *const r = arg;
    float left = q->corner[0].x, right = left, top = q->corner[0].y, bottom = top;
    for (int i = 1; i < 4; i++) {
        left = fminf(left, q->corner[i].x);
        right = fmaxf(right, q->corner[i].x);
        top = fminf(top, q->corner[i].y);
        bottom = fmaxf(bottom, q->corner[i].y);
    }
    const FrameBox box = {r->box.x + (double)left, r->box.y + (double)top,
                          fmax(1, (double)(right - left)), fmax(1, (double)(bottom - top))};
    look_planes(r->look, &box, width, height, stride, planes);
}

/* The ink of a cell with a margin of a quarter of its height, as recognisers know lines. False: the
 * cell is blank. */
static bool find_line(const Look *l, const SignalState *s, const TextSource *source, Quad *out)
{
    const int width = box_width(s->region), height = box_height(s->region);
    InkBox ink;
    if (!ink_find(look_gray(l, s->region, width, height), width, height, &ink))
        return false;
    const float sx = (float)source->width / (float)width,
                sy = (float)source->height / (float)height;
    const float margin = 0.25f * (float)(ink.y1 - ink.y0);
    const float x0 = sx * fmaxf(0, (float)ink.x0 - margin),
                x1 = sx * fminf((float)width, (float)ink.x1 + margin);
    const float y0 = sy * fmaxf(0, (float)ink.y0 - margin),
                y1 = sy * fminf((float)height, (float)ink.y1 + margin);
    *out = (Quad){.corner = {{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}}};
    return true;
}

/* Of source pixels, in reference pixels. */
static Box quad_box(const SignalState *s, const TextSource *source, const Quad *q)
{
    const float sx = s->region.width / (float)source->width,
                sy = s->region.height / (float)source->height;
    const Point a = q->corner[0], c = q->corner[2];
    return (Box){s->region.x + a.x * sx, s->region.y + a.y * sy, (c.x - a.x) * sx,
                 (c.y - a.y) * sy};
}

static TextSource source_of(RegionSource *region)
{
    return (TextSource){(int)fmax(1, round(region->box.width)),
                        (int)fmax(1, round(region->box.height)), sample, region};
}

/* A cell: its line. A page: where are its lines? */
static int look(const Look *l, SignalState *s, Observation *out, Error *e)
{
    TextState *const t = s->kind;
    RegionSource region = {l, look_box(l, s->region)};
    const TextSource source = source_of(&region);
    (void)e;
    t->nbox = -1;
    if (s->signal->text.mode == TEXT_PAGE) {
        text_reader_ask_boxes(t->reader, l->tmp, &source, PAGE_SIDE, look_is_urgent(l),
                              look_ask(l, s, 1));
        return 0;
    }
    Quad line;
    out->text = "";
    if (find_line(l, s, &source, &line))
        text_reader_ask_line(t->reader, l->tmp, &source, &line, CELL_MIN_WIDTH, look_ask(l, s, 1));
    return 0;
}

static int take_line(SignalState *s, Observation *out, Error *e)
{
    const TextState *const t = s->kind;
    OcrText text;
    const int code =
        text_reader_take_line(t->reader, s->hold, &s->now.asked[0], t->classes, &text, e);
    if (code != 0)
        return code;
    out->text = text.text;
    out->score = text.confidence;
    return 0;
}

/* What do the lines of the page say? */
static int ask_lines(const Look *l, SignalState *s, const TextSource *source, Observation *out,
                     Error *e)
{
    TextState *const t = s->kind;
    OcrBox *box = NULL;
    int n = 0;
    const int code =
        text_reader_take_boxes(t->reader, l->tmp, source, &s->now.asked[0], &box, &n, e);
    if (code != 0)
        return code;
    t->box = box;
    t->nbox = n < OBSERVE_MAX_FOUND ? n : OBSERVE_MAX_FOUND;
    out->found = arena_array_of(s->hold, t->nbox + 1, Found);
    InferRequest *const q = t->nbox > 0 ? look_ask(l, s, t->nbox) : NULL;
    for (int i = 0; i < t->nbox; i++)
        text_reader_ask_line(t->reader, l->tmp, source, &box[i].quad, CELL_MIN_WIDTH, &q[i]);
    return 0;
}

static int take_lines(SignalState *s, const TextSource *source, Observation *out, Error *e)
{
    const TextState *const t = s->kind;
    Found *const found = arena_array_of(s->hold, t->nbox + 1, Found);
    for (int i = 0; i < t->nbox; i++) {
        OcrText text;
        const int code =
            text_reader_take_line(t->reader, s->hold, &s->now.asked[i], t->classes, &text, e);
        if (code != 0)
            return code;
        if ((double)text.confidence >= s->signal->text.min_confidence && text.text[0] != '\0')
            found[out->nfound++] = (Found){.box = quad_box(s, source, &t->box[i].quad),
                                           .score = text.confidence,
                                           .label = text.text};
    }
    out->found = found;
    return 0;
}

static int more(const Look *l, SignalState *s, Observation *out, Error *e)
{
    const TextState *const t = s->kind;
    RegionSource region = {l, look_box(l, s->region)};
    const TextSource source = source_of(&region);
    if (s->signal->text.mode == TEXT_LINE)
        return take_line(s, out, e);
    return t->nbox < 0 ? ask_lines(l, s, &source, out, e) : take_lines(s, &source, out, e);
}

const SignalOps text_signal_ops = {.open = open, .look = look, .more = more};

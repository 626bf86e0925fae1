/* Objects: a YOLO-type detector on the region; who is who from sample to sample is told by
 * readings. */
#include <math.h>
#include <stdio.h>

#include "vision/yolo.h"
#include "watch/picture_input.h"

#define DETECTOR "nudenet/320n.onnx"
#define MISSING_SIZE 640 /* of models that leave their input open, and say nothing else */
#define LEAST 0.1f       /* score of what is told at all: what hardly shows carries tracks on */

typedef struct ObjectState {
    InferModel *model;
    int width, height, nlabel;
    const char *const *label; /* NULL: numbers */
    PicturePlace place;       /* of what is looked at */
} ObjectState;

/* Models say "[320, 320]" of what they were made for: height, width. */
static int stated_size(const InferModel *model)
{
    Arena *const tmp = arena_new();
    const char *const text = infer_metadata(model, tmp, "imgsz");
    int height = 0, width = 0;
    const bool square = text && sscanf(text, "[%d, %d]", &height, &width) == 2 && height == width;
    arena_free(tmp);
    return square && height >= 16 && height <= 4096 ? height : MISSING_SIZE;
}

static int open(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    (void)w;
    const ObjectSignal *const d = &s->signal->object;
    ObjectState *const state = arena_new_of(a, ObjectState);
    s->kind = state;
    const char *looked = NULL;
    const char *const path =
        s->signal->model ? s->signal->model : net_find_model(a, DETECTOR, &looked);
    if (!path)
        return error_set(e, ERR_IO,
                         "no model for objects: no file %s (make it by `scripts/setup check`, name "
                         "another folder by "
                         "LATHE_MODELS, or a file by 'model')",
                         looked);
    int code = infer_open(host_infer(host), path, &(InferShapes){.precision = w->precision},
                          &state->model, e);
    if (code == 0)
        code = picture_input_size(&d->input, state->model, stated_size(state->model), &state->width,
                                  &state->height, e);
    if (code == 0)
        code = picture_labels(a, d->names, state->model, &state->label, &state->nlabel, e);
    return code == 0 && host_prepares(host)
               ? infer_prepare(state->model, state->height, state->width, e)
               : code;
}

static const char *label_of(const ObjectState *state, Arena *a, int label)
{
    return label < state->nlabel ? state->label[label] : arena_printf(a, "%d", label);
}

static int look(const Look *l, SignalState *s, Observation *out, Error *e)
{
    (void)out;
    (void)e;
    ObjectState *const state = s->kind;
    const FrameBox from = look_box(l, s->region);
    float *const planes =
        infer_planes(l->tmp, state->model, state->height, state->width, look_ask(l, s, 1));
    state->place = picture_input_fill(l, &from, &s->signal->object.input, state->width,
                                      state->height, false, planes);
    return 0;
}

/* Boxes in reference pixels of the region. */
static int detected(const Look *l, const SignalState *s, YoloBox **box, int *n, Error *e)
{
    const ObjectSignal *const d = &s->signal->object;
    const ObjectState *const state = s->kind;
    const PicturePlace *const p = &state->place;
    const InferOutput y = infer_output(&s->now.asked[0]);
    YoloShape shape;
    if (!y.values || !yolo_shape(y.rank, y.dim, state->nlabel, &shape))
        return error_set(e, ERR_INVALID, "%s: no detector of %d classes: its output is %s",
                         infer_path(state->model), state->nlabel,
                         tensor_describe(l->tmp, s->now.asked[0].result));
    const FrameBox from = look_box(l, s->region);
    const double sx = (double)s->region.width / from.width,
                 sy = (double)s->region.height / from.height;
    const YoloOptions opt = {.min_score = fminf(LEAST, (float)d->min_score),
                             .iou = (float)d->iou,
                             .by_class = d->by_class,
                             .scale_x = p->scale_x * sx,
                             .scale_y = p->scale_y * sy,
                             .shift_x = p->shift_x * sx,
                             .shift_y = p->shift_y * sy,
                             .width = (double)s->region.width,
                             .height = (double)s->region.height,
                             .keep_size = d->input.fit == FIT_CORNER};
    Error why = {0};
    const int code = yolo_decode(l->tmp, y.values, &shape, &opt, box, n, &why);
    return code == 0 ? 0 : error_set(e, code, "%s: %.900s", infer_path(state->model), why.message);
}

static int more(const Look *l, SignalState *s, Observation *out, Error *e)
{
    const ObjectState *const state = s->kind;
    YoloBox *box;
    int n;
    const int code = detected(l, s, &box, &n, e);
    if (code != 0)
        return code;
    n = n < OBSERVE_MAX_FOUND ? n : OBSERVE_MAX_FOUND;
    Found *const found = arena_array_of(s->hold, n + 1, Found);
    for (int i = 0; i < n; i++) {
        const YoloBox *const b = &box[i];
        found[i] = (Found){.box = {s->region.x + b->x, s->region.y + b->y, b->width, b->height},
                           .score = b->score,
                           .label = label_of(state, s->hold, b->label),
                           .track = TRACK_OPEN};
    }
    out->nfound = n;
    out->found = found;
    return 0;
}

const SignalOps object_signal_ops = {.open = open, .look = look, .more = more};

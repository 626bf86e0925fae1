/* Objects: a YOLO-type detector on the region; who is who from sample to sample is told by readings. */
#include <math.h>
#include <stdio.h>

#include "vision/yolo.h"
#include "watch/picture_input.h"

#define DETECTOR "nudenet/320n.onnx"
#define MISSING_SIZE 640 /* of models that leave their input open, and say nothing else */
#define LEAST 0.1f       /* score of what is told at all: what hardly shows carries tracks on */

typedef struct ObjectState {
    Net *net;
    int width, height, nlabel;
    const char *const *label; /* NULL: numbers */
} ObjectState;

/* Models say "[320, 320]" of what they were made for: height, width. */
static int stated_size(const Net *net)
{
    const char *const text = net_metadata(net, "imgsz");
    int height = 0, width = 0;
    const bool square = text && sscanf(text, "[%d, %d]", &height, &width) == 2 && height == width;
    return square && height >= 16 && height <= 4096 ? height : MISSING_SIZE;
}

/* Where nobody may wait for it later, it is compiled now. */
static int prepare(ObserveHost *host, const ObjectState *state, Error *e)
{
    float *planes;
    host_lock(host);
    const int code = host_prepares(host) ? net_input(state->net, state->height, state->width, &planes, e) : 0;
    host_unlock(host);
    return code;
}

static int open(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    (void)w;
    const ObjectSignal *const d = &s->signal->object;
    ObjectState *const state = arena_new_of(a, ObjectState);
    s->kind = state;
    const char *looked = NULL;
    const char *const path = s->signal->model ? s->signal->model : net_find_model(a, DETECTOR, &looked);
    if (!path)
        return error_set(e, ERR_IO, "no model for objects: no file %s (make it by `scripts/setup check`, name another folder by "
                         "LATHE_MODELS, or a file by 'model')", looked);
    int code = host_net(host, path, NULL, &state->net, e);
    if (code == 0)
        code = picture_input_size(&d->input, state->net, stated_size(state->net), &state->width, &state->height, e);
    if (code == 0)
        code = picture_labels(a, d->names, state->net, &state->label, &state->nlabel, e);
    return code == 0 ? prepare(host, state, e) : code;
}

static const char *label_of(const ObjectState *state, Arena *a, int label)
{
    return label < state->nlabel ? state->label[label] : arena_printf(a, "%d", label);
}

/* Boxes in reference pixels of the region. */
static int detect(const Look *l, const SignalState *s, YoloBox **box, int *n, Error *e)
{
    const ObjectSignal *const d = &s->signal->object;
    const ObjectState *const state = s->kind;
    const FrameBox from = look_box(l, s->region);
    float *planes;
    const Tensor *y;
    int code = net_input(state->net, state->height, state->width, &planes, e);
    if (code != 0)
        return code;
    const PicturePlace p = picture_input_fill(l, &from, &d->input, state->width, state->height, false, planes);
    code = net_execute(state->net, 0, &y, e);
    if (code != 0)
        return code;
    YoloShape shape;
    if (y->dtype != DT_F32 || !yolo_shape(y->rank, y->dim, state->nlabel, &shape))
        return error_set(e, ERR_INVALID, "%s: no detector of %d classes: its output is %s", net_path(state->net), state->nlabel,
                         tensor_describe(l->tmp, y));
    const double sx = (double)s->region.width / from.width, sy = (double)s->region.height / from.height;
    const YoloOptions opt = {.min_score = fminf(LEAST, (float)d->min_score), .iou = (float)d->iou, .by_class = d->by_class,
                             .scale_x = p.scale_x * sx, .scale_y = p.scale_y * sy, .shift_x = p.shift_x * sx,
                             .shift_y = p.shift_y * sy, .width = (double)s->region.width, .height = (double)s->region.height,
                             .keep_size = d->input.fit == FIT_CORNER};
    Error why = {0};
    code = yolo_decode(l->tmp, y->data, &shape, &opt, box, n, &why);
    return code == 0 ? 0 : error_set(e, code, "%s: %.900s", net_path(state->net), why.message);
}

static int look(const Look *l, SignalState *s, Observation *out, Error *e)
{
    const ObjectState *const state = s->kind;
    YoloBox *box;
    int n;
    const int code = detect(l, s, &box, &n, e);
    if (code != 0)
        return code;
    n = n < OBSERVE_MAX_FOUND ? n : OBSERVE_MAX_FOUND;
    Found *const found = arena_array_of(s->hold, n + 1, Found);
    for (int i = 0; i < n; i++) {
        const YoloBox *const b = &box[i];
        found[i] = (Found){.box = {s->region.x + b->x, s->region.y + b->y, b->width, b->height}, .score = b->score,
                           .label = label_of(state, s->hold, b->label), .track = TRACK_OPEN};
    }
    out->nfound = n;
    out->found = found;
    return 0;
}

const SignalOps object_signal_ops = {.open = open, .look = look};

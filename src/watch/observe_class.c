/* Class: what the region shows as a whole, by any classifier of pictures. */
#include <math.h>

#include "watch/picture_input.h"

#define MISSING_SIZE 224 /* of models that leave their input open */

typedef struct ClassState {
    InferModel *model;
    int width, height, nlabel;
    const char *const *label; /* NULL: numbers */
} ClassState;

static int open(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    const ObjectSignal *const d = &s->signal->object;
    ClassState *const state = arena_new_of(a, ClassState);
    s->kind = state;
    int code = infer_open(host_infer(host), s->signal->model,
                          &(InferShapes){.precision = w->precision}, &state->model, e);
    if (code == 0)
        code = picture_input_size(&d->input, state->model, MISSING_SIZE, &state->width,
                                  &state->height, e);
    if (code == 0)
        code = picture_labels(a, d->names, state->model, &state->label, &state->nlabel, e);
    return code == 0 && host_prepares(host)
               ? infer_prepare(state->model, state->height, state->width, e)
               : code;
}

/* Probabilities as they are; anything else is taken for logits. False: some are no finite
 * numbers. */
static bool probabilities(const float *y, int n, float *p)
{
    double sum = 0, most = -(double)INFINITY;
    bool are = true;
    for (int i = 0; i < n; i++) {
        if (!isfinite(y[i]))
            return false;
        are = are && y[i] >= 0 && y[i] <= 1;
        most = fmax(most, (double)y[i]);
        sum += (double)y[i];
    }
    are = are && fabs(sum - 1) < 1e-2;
    sum = 0;
    for (int i = 0; i < n && !are; i++)
        sum += exp((double)y[i] - most);
    for (int i = 0; i < n; i++)
        p[i] = are ? y[i] : (float)(exp((double)y[i] - most) / sum);
    return true;
}

static int look(const Look *l, SignalState *s, Observation *out, Error *e)
{
    (void)out;
    (void)e;
    const ClassState *const state = s->kind;
    const FrameBox from = look_box(l, s->region);
    float *const planes =
        infer_planes(l->tmp, state->model, state->height, state->width, look_ask(l, s, 1));
    picture_input_fill(l, &from, &s->signal->object.input, state->width, state->height, true,
                       planes);
    return 0;
}

static int more(const Look *l, SignalState *s, Observation *out, Error *e)
{
    const ClassState *const state = s->kind;
    const InferOutput y = infer_output(&s->now.asked[0]);
    const int64_t n = y.elements;
    if (!y.values || n < 2 || n > 1 << 20 || (state->nlabel > 0 && n != state->nlabel))
        return error_set(e, ERR_INVALID, "%s: no classifier of %d classes: its output is %s",
                         infer_path(state->model), state->nlabel,
                         tensor_describe(l->tmp, s->now.asked[0].result));
    float *const p = arena_array_of(l->tmp, n, float);
    if (!probabilities(y.values, (int)n, p))
        return error_set(e, ERR_INVALID, "%s: its output holds what is no finite number",
                         infer_path(state->model));
    int best = 0;
    for (int i = 1; i < n; i++)
        best = p[i] > p[best] ? i : best;
    out->score = p[best];
    for (int i = 0; i < n; i++)
        out->second = i != best ? fmaxf(out->second, p[i]) : out->second;
    out->text = state->label ? state->label[best] : arena_printf(s->hold, "%d", best);
    return 0;
}

const SignalOps class_signal_ops = {.open = open, .look = look, .more = more};

/* Screens: small views of the region beside small views of reference pictures. */
#include <math.h>
#include <string.h>

#include "base/vec.h"
#include "watch/observe_parts.h"

#define THUMB_WIDTH 64  /* a view: enough for its large shapes, too little for letters and noise */
#define THUMB_HEIGHT 36

typedef struct View {
    const char *label;
    NccTemplate *ncc;
} View;

typedef struct ScreenState {
    VEC(View) view;
    void *scratch;
    int width, height; /* of the views */
} ScreenState;

/* A region's shape within the largest view; never stretched. */
static void view_size(Box region, int *width, int *height)
{
    const double scale = fmin(1, fmin(THUMB_WIDTH / (double)region.width, THUMB_HEIGHT / (double)region.height));
    *width = (int)fmax(4, round((double)region.width * scale));
    *height = (int)fmax(4, round((double)region.height * scale));
}

/* Means over what a pixel of the view covers. */
static Gray shrink(Arena *a, const Gray *g, int width, int height)
{
    Gray out = {width, height, arena_alloc(a, (size_t)width * (size_t)height), NULL};
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const double x0 = (double)x * g->width / width, x1 = (double)(x + 1) * g->width / width;
            const double y0 = (double)y * g->height / height, y1 = (double)(y + 1) * g->height / height;
            double sum = 0, area = 0;
            for (int j = (int)y0; j < y1 && j < g->height; j++)
                for (int i = (int)x0; i < x1 && i < g->width; i++) {
                    const double w = (fmin(i + 1, x1) - fmax(i, x0)) * (fmin(j + 1, y1) - fmax(j, y0));
                    sum += w * g->luma[(size_t)j * (size_t)g->width + (size_t)i];
                    area += w;
                }
            out.luma[y * width + x] = (uint8_t)lrint(sum / area);
        }
    return out;
}

static int open(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    (void)host;
    const ScreenSignal *const screen = &s->signal->screen;
    ScreenState *const state = arena_new_of(a, ScreenState);
    s->kind = state;
    if (screen->embed)
        return error_set(e, ERR_UNSUPPORTED, "%s:%d:%d: signal '%s': 'method: embed' is not there yet", w->path,
                         s->signal->place.line, s->signal->place.column, s->signal->name);
    view_size(s->region, &state->width, &state->height);
    int64_t scratch = 0;
    for (int i = 0; i < screen->nref; i++) {
        Arena *const tmp = arena_new();
        Gray g;
        const int code = gray_read(tmp, screen->ref[i].path, false, &g, e);
        if (code == 0) {
            const Gray view = shrink(tmp, &g, state->width, state->height);
            const NccImage image = {view.width, view.height, view.width, view.luma};
            vec_push(a, &state->view, ((View){screen->ref[i].label, ncc_template(a, &image, NULL)}));
            const int64_t size = ncc_scratch(vec_last(&state->view).ncc, view.width, view.height);
            scratch = size > scratch ? size : scratch;
        }
        arena_free(tmp);
        if (code != 0)
            return code;
    }
    state->scratch = arena_alloc_aligned(a, (size_t)scratch, 64);
    return 0;
}

/* The best view of each label counts. */
static int look(const Look *l, SignalState *s, Observation *out, Error *e)
{
    (void)e;
    const ScreenState *const state = s->kind;
    const NccImage image = {state->width, state->height, state->width, look_gray(l, s->region, state->width, state->height)};
    out->score = out->second = -1;
    for (int i = 0; i < state->view.len; i++) {
        const View *const v = &state->view.at[i];
        const NccMatch m = ncc_search(v->ncc, &image, ncc_best_level(), state->scratch);
        if (m.flat)
            continue;
        if (out->text && strcmp(out->text, v->label) == 0) {
            out->score = fmaxf(out->score, m.score);
        } else if (!out->text || m.score > out->score) {
            out->second = out->text ? out->score : -1;
            out->score = m.score;
            out->text = v->label;
        } else {
            out->second = fmaxf(out->second, m.score);
        }
    }
    if (!out->text)
        observe_unknown(out, "flat");
    return 0;
}

const SignalOps screen_signal_ops = {.open = open, .look = look};

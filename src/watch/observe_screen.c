/* Screens: small views of the region beside small views of reference pictures. */
#include <math.h>
#include <string.h>

#include "base/vec.h"
#include "kernel/picture_hash.h"
#include "watch/observe_embed.h"

#define THUMB_WIDTH 64  /* a view: enough for its large shapes, too little for letters and noise */
#define THUMB_HEIGHT 36

typedef struct View {
    const char *label;
    NccTemplate *ncc;  /* of SCREEN_VIEW */
    PictureHash hash;  /* of SCREEN_HASH */
} View;

typedef struct ScreenState {
    VEC(View) view;
    void *scratch;
    int width, height; /* of the views */
    EmbedState *embed; /* of SCREEN_EMBED */
} ScreenState;

/* A region's shape within the largest view; never stretched. */
static void view_size(Box region, int *width, int *height)
{
    const double scale =
        fmin(1, fmin(THUMB_WIDTH / (double)region.width, THUMB_HEIGHT / (double)region.height));
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
            const double y0 = (double)y * g->height / height,
                         y1 = (double)(y + 1) * g->height / height;
            double sum = 0, area = 0;
            for (int j = (int)y0; j < y1 && j < g->height; j++)
                for (int i = (int)x0; i < x1 && i < g->width; i++) {
                    const double w =
                        (fmin(i + 1, x1) - fmax(i, x0)) * (fmin(j + 1, y1) - fmax(j, y0));
                    sum += w * g->luma[(size_t)j * (size_t)g->width + (size_t)i];
                    area += w;
                }
            out.luma[y * width + x] = (uint8_t)lrint(sum / area);
        }
    return out;
}

/* `luma` of the state's size becomes what references are compared by. */
static View view_of(Arena *a, const ScreenSignal *screen, const ScreenState *state,
                    const char *label, const uint8_t *luma)
{
    const NccImage image = {state->width, state->height, state->width, luma};
    View v = {.label = label};
    if (screen->method == SCREEN_HASH)
        v.hash = picture_hash(luma);
    else
        v.ncc = ncc_template(a, &image, NULL);
    return v;
}

static int open(Arena *a, ObserveHost *host, const Watch *w, SignalState *s, Error *e)
{
    const ScreenSignal *const screen = &s->signal->screen;
    ScreenState *const state = arena_new_of(a, ScreenState);
    s->kind = state;
    if (screen->method == SCREEN_EMBED)
        return embed_open(a, host, w, s->signal, s->region, &state->embed, e);
    state->width = state->height = PICTURE_HASH_SIDE;
    if (screen->method == SCREEN_VIEW)
        view_size(s->region, &state->width, &state->height);
    int64_t scratch = 0;
    for (int i = 0; i < screen->nref; i++) {
        Arena *const tmp = arena_new();
        Gray g;
        const int code = gray_read(tmp, screen->ref[i].path, false, &g, e);
        if (code == 0) {
            const View v = view_of(a, screen, state, screen->ref[i].label,
                                   shrink(tmp, &g, state->width, state->height).luma);
            const int64_t size = v.ncc ? ncc_scratch(v.ncc, state->width, state->height) : 0;
            scratch = size > scratch ? size : scratch;
            vec_push(a, &state->view, v);
        }
        arena_free(tmp);
        if (code != 0)
            return code;
    }
    state->scratch = arena_alloc_aligned(a, (size_t)scratch + 1, 64);
    return 0;
}

/* -1 to 1; false: nothing can be said. */
static bool compare(const ScreenState *state, const View *v, const NccImage *image,
                    const PictureHash *hash, float *score)
{
    if (!v->ncc) {
        *score = 1 - (float)picture_hash_distance(v->hash.bits, hash->bits) / 32;
        return !v->hash.flat && !hash->flat;
    }
    const NccMatch m = ncc_search(v->ncc, image, simd_level(), state->scratch);
    *score = m.score;
    return !m.flat;
}

/* Of screens by embedding. */
static int more(const Look *l, SignalState *s, Observation *out, Error *e)
{
    return embed_take(((const ScreenState *)s->kind)->embed, l, s, out, e);
}

/* The best view of each label counts. */
static int look(const Look *l, SignalState *s, Observation *out, Error *e)
{
    const ScreenState *const state = s->kind;
    (void)e;
    if (state->embed) {
        embed_ask(state->embed, l, s);
        return 0;
    }
    const NccImage image = {state->width, state->height, state->width,
                            look_gray(l, s->region, state->width, state->height)};
    const PictureHash hash =
        s->signal->screen.method == SCREEN_HASH ? picture_hash(image.at) : (PictureHash){0};
    out->score = out->second = -1;
    for (int i = 0; i < state->view.len; i++) {
        const View *const v = &state->view.at[i];
        float score;
        if (!compare(state, v, &image, &hash, &score))
            continue;
        if (out->text && strcmp(out->text, v->label) == 0) {
            out->score = fmaxf(out->score, score);
        } else if (!out->text || score > out->score) {
            out->second = out->text ? out->score : -1;
            out->score = score;
            out->text = v->label;
        } else {
            out->second = fmaxf(out->second, score);
        }
    }
    if (!out->text)
        observe_unknown(out, "flat");
    return 0;
}

const SignalOps screen_signal_ops = {.open = open, .look = look, .more = more};

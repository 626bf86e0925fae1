/* Layers of noise that pass by: see backdrop.h. A layer is a strip wider than the picture whose
 * ends meet; what of a row is opaque is a list of runs, so that painting is copying. */
#include "game/backdrop.h"

#include <math.h>
#include <string.h>

#include "base/vec.h"
#include "game/dice.h"
#include "game/paint.h"

#define LAYERS 4
#define OCTAVES 4
#define DUST 120 /* grains */

typedef struct Run {
    int from, to; /* of the strip */
} Run;

typedef struct Layer {
    Picture *strip;
    int *first; /* of row y: run[first[y]] .. run[first[y + 1]] */
    VEC(Run) run;
    double speed; /* pixels a second */
    int horizon;  /* row of a ground that is seen in perspective; 0: a layer that stands upright */
} Layer;

struct Backdrop {
    Layer layer[LAYERS];
    double phase;
    float scale;
};

static float lattice(int x, int y, uint32_t seed)
{
    uint32_t h = (uint32_t)x * 0x8da6b343u ^ (uint32_t)y * 0xd8163841u ^ seed * 0xcb1ab31fu;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    h = (h ^ h >> 12) * 0x297a2d39u;
    return (float)((h ^ h >> 15) >> 8) * 0x1p-24f;
}

static float smooth_noise(float x, float y, int period, uint32_t seed)
{
    const float fx = floorf(x), fy = floorf(y);
    const int i = (int)fx % period, k = (i + 1) % period, j = (int)fy;
    float u = x - fx, v = y - fy;
    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    const float top = lattice(i, j, seed) * (1 - u) + lattice(k, j, seed) * u;
    const float bottom = lattice(i, j + 1, seed) * (1 - u) + lattice(k, j + 1, seed) * u;
    return top * (1 - v) + bottom * v;
}

float backdrop_noise(float x, float y, int period, uint32_t seed)
{
    float sum = 0, weight = 0.5f;
    for (int k = 0; k < OCTAVES; k++) {
        sum += weight * smooth_noise(x, y, period, seed + (uint32_t)k);
        x *= 2;
        y *= 2;
        period *= 2;
        weight /= 2;
    }
    return sum / (1 - 2 * weight);
}

static uint8_t shade(int base, float light)
{
    const float v = (float)base * light;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

typedef struct LayerStyle {
    float top, rough;   /* share of the height: where it begins, and how much that varies */
    float light, depth; /* of its colour, and of the noise in it */
    float grain;        /* size of the noise, reference pixels */
    double speed;       /* reference pixels a second */
    bool ground;        /* coloured as the ground, else as the sky */
    bool plane;         /* seen in perspective */
} LayerStyle;

static const LayerStyle style[LAYERS] = {
    {0, 0, 1.05f, 0.25f, 160, 14, false, false},
    {0.32f, 0.22f, 0.62f, 0.45f, 60, 45, false, false},
    {0.48f, 0, 0.95f, 0.90f, 22, 140, true, true},
    {0.84f, 0.20f, 0.45f, 0.90f, 18, 300, true, false},
};

static void paint_strip(Layer *l, const LayerStyle *s, const float *top, Colour c, float scale,
                        uint32_t seed)
{
    const int width = l->strip->width, height = l->strip->height;
    const int period = (int)((float)width / (s->grain * scale));
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            if ((float)y < top[x])
                continue;
            const float u = (float)x * (float)period / (float)width,
                        v = (float)y / (s->grain * scale);
            const float n = backdrop_noise(u, v, period, seed);
            const float light =
                s->light * (1 + s->depth * (2 * n - 1)) * (0.9f + 0.2f * (float)y / (float)height);
            uint8_t *const to = l->strip->rgb + ((size_t)y * (size_t)width + (size_t)x) * 3;
            to[0] = shade(c.r, light);
            to[1] = shade(c.g, light);
            to[2] = shade(c.b, light);
        }
    }
}

static void find_runs(Arena *a, Layer *l, const float *top)
{
    const int width = l->strip->width, height = l->strip->height;
    l->first = arena_array_of(a, height + 1, int);
    for (int y = 0; y < height; y++) {
        l->first[y] = l->run.len;
        for (int x = 0; x < width; x++) {
            if ((float)y < top[x])
                continue;
            const int from = x;
            while (x < width && (float)y >= top[x])
                x++;
            vec_push(a, &l->run, ((Run){from, x}));
        }
    }
    l->first[height] = l->run.len;
}

Backdrop *backdrop_new(Arena *a, uint64_t seed, const Look *look, int width, int height)
{
    Dice d = dice_new(seed, "backdrop");
    Backdrop *const b = arena_new_of(a, Backdrop);
    b->phase = dice_real(&d, 0, 100);
    b->scale = (float)width / LOOK_WIDTH;
    float *const top = arena_array_of(a, 2 * width, float);
    for (int k = 0; k < LAYERS; k++) {
        Layer *const l = &b->layer[k];
        const LayerStyle *const s = &style[k];
        const uint32_t own = (uint32_t)dice_next(&d);
        const int strip = width * (k == LAYERS - 1 ? 20 : 16) / 10;
        l->strip = picture_new(a, strip, height);
        l->speed = s->speed * (double)b->scale * dice_real(&d, 0.8, 1.2);
        l->horizon = s->plane ? (int)ceilf(s->top * (float)height) : 0;
        for (int x = 0; x < strip; x++) {
            const float n = backdrop_noise((float)x * 7 / (float)strip, 0.5f, 7, own + 77);
            top[x] = (s->top + s->rough * (n - 0.5f)) * (float)height;
        }
        paint_strip(l, s, top, s->ground ? look->ground : look->sky, b->scale, own);
        find_runs(a, l, top);
    }
    return b;
}

/* The part of a run that is seen when strip pixel `offset` lies at the left of the picture. */
static void copy_run(const Layer *l, Picture *p, int y, int row, Run run, int offset)
{
    for (int turn = 0; turn < 2; turn++) {
        const int shift = turn * l->strip->width - offset;
        const int from = run.from + shift < 0 ? 0 : run.from + shift;
        const int to = run.to + shift > p->width ? p->width : run.to + shift;
        if (from >= to)
            continue;
        memcpy(p->rgb + ((size_t)y * (size_t)p->width + (size_t)from) * 3,
               l->strip->rgb + ((size_t)row * (size_t)l->strip->width + (size_t)(from - shift)) * 3,
               (size_t)(to - from) * 3);
    }
}

/* how much larger the ground is at the bottom of the picture than at the horizon */
#define NEAREST 7.0

/* A row of the ground: its texture lies flat, so that rows are the larger, and pass the faster, the
 * nearer they are. */
static void copy_ground(const Layer *l, Picture *p, int y, int row, double way)
{
    const int height = l->strip->height, width = l->strip->width;
    const double near = 1 + (NEAREST - 1) * (row - l->horizon) / (height - l->horizon),
                 step = 3 / near;
    const double depth = (1 - 1 / near) / (1 - 1 / NEAREST);
    const int from = l->horizon + (int)(depth * (height - 1 - l->horizon));
    const uint8_t *const texture = l->strip->rgb + (size_t)from * (size_t)width * 3;
    uint8_t *to = p->rgb + (size_t)y * (size_t)p->width * 3;
    const uint32_t end = (uint32_t)width << 12, by = (uint32_t)(step * 4096);
    double start = fmod(way * l->speed - step * p->width / 2, width);
    start += start < 0 ? width : 0;
    uint32_t at = (uint32_t)(start * 4096) % end;
    for (int x = 0; x < p->width; x++, to += 3) {
        const uint8_t *const c = texture + (at >> 12) * 3;
        to[0] = c[0];
        to[1] = c[1];
        to[2] = c[2];
        at += by;
        at -= at >= end ? end : 0;
    }
}

/* Dust in the air, each grain on a way of its own: what no encoder foretells. */
static void draw_dust(const Backdrop *b, Picture *p, double t)
{
    for (int i = 0; i < DUST; i++) {
        Dice d = {(uint64_t)i * 977};
        const double speed = dice_real(&d, 60, 420), fall = dice_real(&d, 20, 160);
        const double x =
            fmod(dice_real(&d, 0, 4000) + (t + b->phase) * speed, LOOK_WIDTH + 20) - 10;
        const double y = fmod(dice_real(&d, 0, 4000) + (t + b->phase) * fall, LOOK_HEIGHT);
        const float size = (float)dice_real(&d, 1.5, 4) * b->scale;
        const int level = dice_int(&d, 120, 255);
        paint_panel(p, (float)x * b->scale, (float)y * b->scale, size, size,
                    (Colour){(uint8_t)level, (uint8_t)level, (uint8_t)(level * 9 / 10)}, 0.6f);
    }
}

void backdrop_draw(const Backdrop *b, Picture *p, double t)
{
    /* the player does not walk evenly */
    const double way = t + b->phase + 1.2 * sin((t + b->phase) * 0.7) + 1.2;
    const int shake = (int)lrint(3 * (double)b->scale * sin(t * 9));
    for (int k = 0; k < LAYERS; k++) {
        const Layer *const l = &b->layer[k];
        const int offset = (int)fmod(way * l->speed, l->strip->width);
        for (int y = 0; y < p->height; y++) {
            const int row = y + shake < 0 ? 0 : y + shake >= p->height ? p->height - 1 : y + shake;
            if (l->horizon > 0 && row >= l->horizon) {
                copy_ground(l, p, y, row, way);
                continue;
            }
            for (int i = l->first[row]; i < l->first[row + 1]; i++)
                copy_run(l, p, y, row, l->run.at[i], offset);
        }
    }
    draw_dust(b, p, t);
}

/* Sprites, shapes, panels: see paint.h. Blending is in 8 bits, rounded. */
#include "game/paint.h"

#include <assert.h>
#include <math.h>
#include <png.h>
#include <stdio.h>

static uint8_t mix(int under, int over, int alpha)
{
    const int v = under * (255 - alpha) + over * alpha + 127;
    return (uint8_t)((v + (v >> 8) + 1) >> 8); /* v / 255 */
}

void paint_sprite(Picture *p, const Sprite *s, int x, int y, float opacity)
{
    const int share = (int)lrintf(opacity * 256);
    x += s->left;
    y += s->top;
    const int i0 = x < 0 ? -x : 0, i1 = x + s->width > p->width ? p->width - x : s->width;
    const int j0 = y < 0 ? -y : 0, j1 = y + s->height > p->height ? p->height - y : s->height;
    for (int j = j0; j < j1; j++) {
        const uint8_t *from = s->rgba + ((size_t)j * (size_t)s->width + (size_t)i0) * 4;
        uint8_t *to = p->rgb + ((size_t)(y + j) * (size_t)p->width + (size_t)(x + i0)) * 3;
        for (int i = i0; i < i1; i++, from += 4, to += 3) {
            const int alpha = from[3] * share >> 8;
            if (alpha == 0)
                continue;
            to[0] = mix(to[0], from[0], alpha);
            to[1] = mix(to[1], from[1], alpha);
            to[2] = mix(to[2], from[2], alpha);
        }
    }
}

static void blend_rows(Picture *p, int x0, int y0, int x1, int y1, Colour c, float opacity)
{
    const int alpha = (int)lrintf(opacity * 255);
    for (int y = y0; y < y1; y++) {
        uint8_t *to = p->rgb + ((size_t)y * (size_t)p->width + (size_t)x0) * 3;
        for (int x = x0; x < x1; x++, to += 3) {
            to[0] = mix(to[0], c.r, alpha);
            to[1] = mix(to[1], c.g, alpha);
            to[2] = mix(to[2], c.b, alpha);
        }
    }
}

static int clamp(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

void paint_panel(Picture *p, float x, float y, float width, float height, Colour c, float opacity)
{
    const int x0 = clamp((int)lrintf(x), 0, p->width),
              x1 = clamp((int)lrintf(x + width), x0, p->width);
    const int y0 = clamp((int)lrintf(y), 0, p->height),
              y1 = clamp((int)lrintf(y + height), y0, p->height);
    blend_rows(p, x0, y0, x1, y1, c, opacity);
}

void paint_all(Picture *p, Colour c, float opacity)
{
    if (opacity >= 1)
        draw_fill(p, c);
    else if (opacity > 0)
        blend_rows(p, 0, 0, p->width, p->height, c, opacity);
}

int paint_write_png(const char *path, const Sprite *s, Error *e)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = (png_uint_32)s->width,
        .height = (png_uint_32)s->height,
        .format = PNG_FORMAT_RGBA,
    };
    if (!png_image_write_to_file(&image, path, 0, s->rgba, 0, NULL))
        return error_set(e, ERR_IO, "%s: %s", path, image.message);
    return 0;
}

static bool inside(const Shape *s, float x, float y)
{
    if (s->kind == SHAPE_DISC) {
        const float dx = x - s->point[0].x, dy = y - s->point[0].y;
        return dx * dx + dy * dy < s->radius * s->radius;
    }
    bool in = false; /* even-odd rule */
    for (int i = 0, j = s->npoint - 1; i < s->npoint; j = i++) {
        const Point a = s->point[i], b = s->point[j];
        if ((a.y > y) != (b.y > y) && x < (b.x - a.x) * (y - a.y) / (b.y - a.y) + a.x)
            in = !in;
    }
    return in;
}

static const Shape *topmost(const Shape *s, float x, float y)
{
    const Shape *top = NULL;
    for (; s->kind != SHAPE_END; s++) {
        if (inside(s, x, y))
            top = s;
    }
    return top;
}

#define FINE 4 /* samples a pixel in each direction */

static void shade(const Shape *shape, float size, float c, float s, int x, int y, uint8_t rgba[4])
{
    int n = 0, sum[3] = {0, 0, 0};
    for (int k = 0; k < FINE * FINE; k++) {
        const float u = ((float)x + ((float)(k % FINE) + 0.5f) / FINE) / size - 0.5f;
        const float v = ((float)y + ((float)(k / FINE) + 0.5f) / FINE) / size - 0.5f;
        const Shape *const top = topmost(shape, c * u + s * v + 0.5f, c * v - s * u + 0.5f);
        if (top) {
            n++;
            sum[0] += top->colour.r;
            sum[1] += top->colour.g;
            sum[2] += top->colour.b;
        }
    }
    for (int k = 0; k < 3; k++)
        rgba[k] = (uint8_t)(n ? (sum[k] + n / 2) / n : 0);
    rgba[3] = (uint8_t)(n * 255 / (FINE * FINE));
}

Sprite *paint_shapes(Arena *a, const Shape *shape, int size, float degrees)
{
    Sprite *const out = arena_new_of(a, Sprite);
    *out = (Sprite){
        .width = size, .height = size, .rgba = arena_array_of(a, size * size * 4, uint8_t)};
    const float turn = degrees * 3.14159265f / 180, c = cosf(turn), s = sinf(turn);
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++)
            shade(shape, (float)size, c, s, x, y,
                  out->rgba + ((size_t)y * (size_t)size + (size_t)x) * 4);
    }
    return out;
}

Type type_new(Arena *a)
{
    return (Type){.arena = a, .made = strmap_new(a)};
}

/* Cover of the text, and of its edge: the greatest cover within `edge` pixels. */
static Sprite *set_text(Arena *a, Font *f, float size, Colour c, const char *text)
{
    const bool dark = c.r + c.g + c.b < 200; /* stands on something light: needs no edge */
    const int edge = dark ? 0 : (int)ceilf(size / 12), margin = edge + 2;
    const int up = (int)ceilf(size) + margin,
              width = (int)ceilf(font_text_width(f, size, text)) + 2 * margin;
    const int height = up + (int)ceilf(size * 0.35f) + margin;
    Arena *const work = arena_child(a);
    Picture *const cover = picture_new(work, width, height);
    draw_text(cover, f, size, (Point){(float)margin, (float)up}, 0, (Colour){255, 255, 255}, text);
    Sprite *const s = arena_new_of(a, Sprite);
    *s = (Sprite){.width = width, .height = height, .left = -margin, .top = -up,
                  .rgba = arena_array_of(a, width * height * 4, uint8_t)};
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            int most = 0;
            for (int j = -edge; j <= edge; j++) {
                for (int i = -edge; i <= edge; i++) {
                    const int u = x + i, v = y + j;
                    if (u >= 0 && v >= 0 && u < width && v < height &&
                        cover->rgb[(v * width + u) * 3] > most)
                        most = cover->rgb[(v * width + u) * 3];
                }
            }
            const int own = cover->rgb[(y * width + x) * 3];
            uint8_t *const to = s->rgba + ((size_t)y * (size_t)width + (size_t)x) * 4;
            to[3] = (uint8_t)(own > most * 3 / 4 ? own : most * 3 / 4);
            to[0] = mix(8, c.r, own);
            to[1] = mix(8, c.g, own);
            to[2] = mix(8, c.b, own);
        }
    }
    arena_free(work);
    return s;
}

const Sprite *type_set(Type *t, const char *name, Font *f, float size, Colour c, const char *text)
{
    char key[256];
    const int n = snprintf(key, sizeof key, "%s %.2f %02x%02x%02x %s", name, (double)size, c.r, c.g,
                           c.b, text);
    assert(n > 0 && (size_t)n < sizeof key);
    const int at = strmap_get(&t->made, key, -1);
    if (at >= 0)
        return t->sprite.at[at];
    const Sprite *const s = set_text(t->arena, f, size, c, text);
    strmap_put(&t->made, key, t->sprite.len);
    vec_push(t->arena, &t->sprite, s);
    return s;
}

/* Text boxes out of a probability map: see ocr_detect.h.
 *
 * Parts are found by flood fill; of each only the leftmost and rightmost pixel of every row is
 * kept, which has the same convex hull. (Borders of holes, which other implementations also try as
 * boxes, lie inside the box of their part and are not tried.) */
#include "vision/ocr_detect.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

/* ---- rectangles ---- */

static int compare_points(const void *pa, const void *pb)
{
    const Point *const a = pa, *const b = pb;
    if (a->x != b->x)
        return a->x < b->x ? -1 : 1;
    return a->y < b->y ? -1 : a->y > b->y;
}

static float cross(Point o, Point a, Point b)
{
    return (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x);
}

/* Andrew's monotone chain. at is sorted; hull has room for n + 1. Returns its size. */
static int convex_hull(const Point *at, int n, Point *hull)
{
    int k = 0;
    for (int i = 0; i < n; i++) {
        while (k >= 2 && cross(hull[k - 2], hull[k - 1], at[i]) <= 0)
            k--;
        hull[k++] = at[i];
    }
    const int lower = k + 1;
    for (int i = n - 2; i >= 0; i--) {
        while (k >= lower && cross(hull[k - 2], hull[k - 1], at[i]) <= 0)
            k--;
        hull[k++] = at[i];
    }
    return k > 1 ? k - 1 : k;
}

/* Of the two left corners the higher comes first and the lower last; so for the right ones. */
static Quad order_corners(const Quad *q)
{
    Point p[4];
    memcpy(p, q->corner, sizeof p);
    qsort(p, 4, sizeof *p, compare_points);
    const bool left = p[0].y <= p[1].y, right = p[2].y <= p[3].y;
    return (Quad){.corner = {left ? p[0] : p[1], right ? p[2] : p[3], right ? p[3] : p[2],
                             left ? p[1] : p[0]}};
}

/* The rectangle with one side along the unit vector (ux, uy). Returns its area. */
static float rectangle_along(const Point *hull, int n, float ux, float uy, Quad *out)
{
    float u0 = INFINITY, u1 = -INFINITY, v0 = INFINITY, v1 = -INFINITY;
    for (int i = 0; i < n; i++) {
        const float u = hull[i].x * ux + hull[i].y * uy, v = hull[i].y * ux - hull[i].x * uy;
        u0 = fminf(u0, u);
        u1 = fmaxf(u1, u);
        v0 = fminf(v0, v);
        v1 = fmaxf(v1, v);
    }
    const float us[4] = {u0, u1, u1, u0}, vs[4] = {v0, v0, v1, v1};
    for (int i = 0; i < 4; i++)
        out->corner[i] = (Point){us[i] * ux - vs[i] * uy, us[i] * uy + vs[i] * ux};
    return (u1 - u0) * (v1 - v0);
}

/* One side of the smallest rectangle lies along a side of the hull (Freeman and Shapira 1975). */
Quad min_area_rectangle(Point *at, int n)
{
    Quad best = {0};
    if (n == 0)
        return best;
    Arena *const a = arena_new();
    Point *const hull = arena_array_of(a, n + 2, Point);
    qsort(at, (size_t)n, sizeof *at, compare_points);
    const int k = convex_hull(at, n, hull);
    float area = rectangle_along(hull, k, 1, 0, &best);
    for (int i = 0; i < k; i++) {
        const Point p = hull[i], q = hull[(i + 1) % k];
        const float length = hypotf(q.x - p.x, q.y - p.y);
        Quad r;
        if (length == 0)
            continue;
        const float this_area =
            rectangle_along(hull, k, (q.x - p.x) / length, (q.y - p.y) / length, &r);
        if (this_area < area) {
            area = this_area;
            best = r;
        }
    }
    arena_free(a);
    return order_corners(&best);
}

static float side(const Quad *q, int i)
{
    const Point a = q->corner[i], b = q->corner[(i + 1) % 4];
    return hypotf(b.x - a.x, b.y - a.y);
}

/* Grown by d on every side. */
static Quad rectangle_grow(const Quad *q, float d)
{
    const float w = side(q, 0), h = side(q, 3);
    const Point *const c = q->corner;
    const Point u = {(c[1].x - c[0].x) / w * d, (c[1].y - c[0].y) / w * d};
    const Point v = {(c[3].x - c[0].x) / h * d, (c[3].y - c[0].y) / h * d};
    return (Quad){.corner = {{c[0].x - u.x - v.x, c[0].y - u.y - v.y},
                             {c[1].x + u.x - v.x, c[1].y + u.y - v.y},
                             {c[2].x + u.x + v.x, c[2].y + u.y + v.y},
                             {c[3].x - u.x + v.x, c[3].y - u.y + v.y}}};
}

/* ---- score ---- */

static bool inside(const Quad *q, Point p)
{
    for (int i = 0; i < 4; i++)
        if (cross(q->corner[i], q->corner[(i + 1) % 4], p) < 0)
            return false;
    return true;
}

/* Mean of the map over the pixels in the quad, its corners cut to whole numbers, border
 * included. */
static float mean_inside(const float *map, int width, int height, const Quad *q)
{
    Quad whole;
    float x0 = INFINITY, x1 = 0, y0 = INFINITY, y1 = 0;
    for (int i = 0; i < 4; i++) {
        const Point p = {truncf(q->corner[i].x), truncf(q->corner[i].y)};
        whole.corner[i] = p;
        x0 = fmaxf(0, fminf(x0, p.x));
        y0 = fmaxf(0, fminf(y0, p.y));
        x1 = fminf((float)width - 1, fmaxf(x1, p.x));
        y1 = fminf((float)height - 1, fmaxf(y1, p.y));
    }
    double sum = 0;
    int n = 0;
    for (int y = (int)y0; y <= (int)y1; y++) {
        for (int x = (int)x0; x <= (int)x1; x++) {
            if (!inside(&whole, (Point){(float)x, (float)y}))
                continue;
            sum += (double)map[(size_t)y * (size_t)width + (size_t)x];
            n++;
        }
    }
    return n > 0 ? (float)(sum / n) : 0;
}

/* ---- parts ---- */

/* Text where the map is over the threshold, widened by a pixel to the right and down so that thin
 * strokes hold together. */
static uint8_t *binarise(Arena *a, const float *map, int width, int height, float threshold)
{
    uint8_t *const on = arena_array_of(a, (size_t)width * (size_t)height, uint8_t);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            if (!(map[(size_t)y * (size_t)width + (size_t)x] > threshold))
                continue;
            for (int dy = 0; dy < 2 && y + dy < height; dy++)
                for (int dx = 0; dx < 2 && x + dx < width; dx++)
                    on[(size_t)(y + dy) * (size_t)width + (size_t)(x + dx)] = 1;
        }
    }
    return on;
}

typedef VEC(int) Pixels;

typedef struct Parts {
    Arena *a;
    int width, height;
    uint8_t *on;       /* pixels not yet taken */
    Pixels stack;
    int *left, *right; /* of the part, by row */
} Parts;

/* Takes the part of pixel (x, y), 8-connected; returns the outermost pixels of its rows. */
static int take_part(Parts *s, int x, int y, Point *out)
{
    int top = y, bottom = y;
    s->left[y] = s->right[y] = x;
    s->stack.len = 0;
    s->on[y * s->width + x] = 0;
    vec_push(s->a, &s->stack, y * s->width + x);
    while (s->stack.len > 0) {
        const int at = s->stack.at[--s->stack.len], px = at % s->width, py = at / s->width;
        for (; py > bottom; bottom++)
            s->left[bottom + 1] = s->width, s->right[bottom + 1] = -1;
        for (; py < top; top--)
            s->left[top - 1] = s->width, s->right[top - 1] = -1;
        s->left[py] = px < s->left[py] ? px : s->left[py];
        s->right[py] = px > s->right[py] ? px : s->right[py];
        for (int ny = py - 1; ny <= py + 1; ny++) {
            for (int nx = px - 1; nx <= px + 1; nx++) {
                if (nx < 0 || ny < 0 || nx >= s->width || ny >= s->height ||
                    !s->on[ny * s->width + nx])
                    continue;
                s->on[ny * s->width + nx] = 0;
                vec_push(s->a, &s->stack, ny * s->width + nx);
            }
        }
    }
    int n = 0;
    for (int r = top; r <= bottom; r++) {
        out[n++] = (Point){(float)s->left[r], (float)r};
        out[n++] = (Point){(float)s->right[r], (float)r};
    }
    return n;
}

/* ---- the whole ---- */

/* From the map's pixels to the source's, cut at its borders. False: too small to hold text. */
static bool to_source(Quad *q, float sx, float sy, int width, int height)
{
    for (int i = 0; i < 4; i++) {
        q->corner[i].x = fminf(fmaxf(roundf(q->corner[i].x * sx), 0), (float)width);
        q->corner[i].y = fminf(fmaxf(roundf(q->corner[i].y * sy), 0), (float)height);
    }
    *q = order_corners(q);
    return side(q, 0) > 3 && side(q, 3) > 3;
}

static int compare_top(const void *pa, const void *pb)
{
    const Point a = ((const OcrBox *)pa)->quad.corner[0], b = ((const OcrBox *)pb)->quad.corner[0];
    return compare_points(&(Point){a.y, a.x}, &(Point){b.y, b.x});
}

/* By the top; boxes whose tops differ by less than ten pixels are one line, left to right. */
static void reading_order(OcrBox *box, int n)
{
    if (n < 2) /* none: there is no array */
        return;
    qsort(box, (size_t)n, sizeof *box, compare_top);
    for (int i = 1; i < n; i++) {
        for (int k = i; k > 0; k--) {
            const Point a = box[k - 1].quad.corner[0], b = box[k].quad.corner[0];
            if (fabsf(a.y - b.y) >= 10 || a.x <= b.x)
                break;
            const OcrBox t = box[k];
            box[k] = box[k - 1];
            box[k - 1] = t;
        }
    }
}

int ocr_detect(Arena *a, const float *map, int width, int height, int source_width,
               int source_height, const OcrDetectOptions *opt, OcrBox **out)
{
    Arena *const scratch = arena_new();
    Parts s = {.a = scratch, .width = width, .height = height};
    s.on = binarise(scratch, map, width, height, opt->pixel_threshold);
    s.left = arena_array_of(scratch, height, int);
    s.right = arena_array_of(scratch, height, int);
    Point *const border = arena_array_of(scratch, 2 * (size_t)height, Point);
    VEC(OcrBox) box = {0};
    for (int at = 0; at < width * height; at++) {
        if (!s.on[at])
            continue;
        const int n = take_part(&s, at % width, at / width, border);
        const Quad core = min_area_rectangle(border, n);
        const float w = side(&core, 0), h = side(&core, 3);
        if (fminf(w, h) < opt->min_side)
            continue;
        const float score = mean_inside(map, width, height, &core);
        if (score < opt->box_threshold)
            continue;
        OcrBox b = {.quad = rectangle_grow(&core, w * h * opt->unclip / (2 * (w + h))),
                    .score = score};
        if (fminf(side(&b.quad, 0), side(&b.quad, 3)) >= opt->min_side + 2 &&
            to_source(&b.quad, (float)source_width / (float)width,
                      (float)source_height / (float)height, source_width, source_height))
            vec_push(a, &box, b);
    }
    arena_free(scratch);
    reading_order(box.at, box.len);
    *out = box.at;
    return box.len;
}

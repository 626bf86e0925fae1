/* Pictures: making, reading by kind of file, sampling. See picture.h. */
#include "vision/picture.h"

#include <assert.h>
#include <string.h>

#include "base/file.h"
#include "vision/exif.h"

Picture *picture_new(Arena *a, int width, int height)
{
    assert(width > 0 && height > 0);
    Picture *const p = arena_new_of(a, Picture);
    *p = (Picture){.width = width, .height = height};
    p->rgb = arena_array_of(a, (size_t)width * (size_t)height * 3, uint8_t);
    return p;
}

int picture_check_size(int64_t width, int64_t height, const char *name, Error *e)
{
    if (width < 1 || height < 1 || width > PICTURE_MAX_SIDE || height > PICTURE_MAX_SIDE ||
        width * height > PICTURE_MAX_PIXELS)
        return error_set(e, ERR_UNSUPPORTED,
                         "%s: %lld x %lld pixels; at most %d a side and %d in all", name,
                         (long long)width, (long long)height, PICTURE_MAX_SIDE, PICTURE_MAX_PIXELS);
    return 0;
}

Picture *picture_turned(Arena *a, Picture *p, FrameTurn turn)
{
    if (!turn.swapped && !turn.flip_x && !turn.flip_y)
        return p;
    Picture *const out =
        turn.swapped ? picture_new(a, p->height, p->width) : picture_new(a, p->width, p->height);
    uint8_t *to = out->rgb;
    for (int y = 0; y < out->height; y++) {
        const int v = turn.flip_y ? out->height - 1 - y : y;
        for (int x = 0; x < out->width; x++, to += 3) {
            const int u = turn.flip_x ? out->width - 1 - x : x;
            const size_t column = (size_t)(turn.swapped ? v : u),
                         row = (size_t)(turn.swapped ? u : v);
            memcpy(to, p->rgb + (row * (size_t)p->width + column) * 3, 3);
        }
    }
    return out;
}

static int read_jpeg(Arena *a, const char *path, const File *f, Picture **out, Error *e)
{
    const int code = jpeg_decode(a, path, f->at, f->size, out, e);
    if (code == 0)
        *out = picture_turned(a, *out, exif_turn(f->at, f->size));
    return code;
}

/* alpha: NULL if the caller wants none. */
static int read_any(Arena *a, const char *path, Picture **out, uint8_t **alpha, Error *e)
{
    static const uint8_t png[4] = {0x89, 'P', 'N', 'G'}, jpeg[3] = {0xff, 0xd8, 0xff};
    Arena *const scratch = arena_new();
    File f;
    int code = file_map(scratch, path, &f, e);
    if (code == 0 && f.size >= sizeof png && memcmp(f.at, png, sizeof png) == 0)
        code = alpha ? png_decode_alpha(a, path, f.at, f.size, out, alpha, e)
                     : png_decode(a, path, f.at, f.size, out, e);
    else if (code == 0 && f.size >= sizeof jpeg && memcmp(f.at, jpeg, sizeof jpeg) == 0)
        code = read_jpeg(a, path, &f, out, e);
    else if (code == 0)
        code = error_set(e, ERR_UNSUPPORTED, "%s: neither a PNG nor a JPEG file", path);
    arena_free(scratch);
    return code;
}

int picture_read(Arena *a, const char *path, Picture **out, Error *e)
{
    return read_any(a, path, out, NULL, e);
}

int picture_read_alpha(Arena *a, const char *path, Picture **out, uint8_t **alpha, Error *e)
{
    *alpha = NULL;
    const int code = read_any(a, path, out, alpha, e);
    if (code != 0 || *alpha)
        return code;
    const size_t n = (size_t)(*out)->width * (size_t)(*out)->height;
    *alpha = arena_alloc(a, n);
    memset(*alpha, 255, n);
    return 0;
}

Quad picture_quad(const Picture *p)
{
    const float w = (float)p->width, h = (float)p->height;
    return (Quad){.corner = {{0, 0}, {w, 0}, {w, h}, {0, h}}};
}

static float clamp(float v, float high)
{
    return v > 0 ? (v < high ? v : high) : 0;
}

void picture_sample(const Picture *p, const Quad *quad, int width, int height, int stride,
                    const SampleOptions *opt, float *planes)
{
    const Point *const c = quad->corner;
    const size_t plane = (size_t)height * (size_t)stride;
    for (int j = 0; j < height; j++) {
        const float v = ((float)j + 0.5f) / (float)height;
        const Point left = {c[0].x + v * (c[3].x - c[0].x), c[0].y + v * (c[3].y - c[0].y)};
        const Point right = {c[1].x + v * (c[2].x - c[1].x), c[1].y + v * (c[2].y - c[1].y)};
        for (int i = 0; i < width; i++) {
            const float u = ((float)i + 0.5f) / (float)width;
            const float x = clamp(left.x + u * (right.x - left.x) - 0.5f, (float)(p->width - 1));
            const float y = clamp(left.y + u * (right.y - left.y) - 0.5f, (float)(p->height - 1));
            const int x0 = (int)x, y0 = (int)y;
            const int x1 = x0 + 1 < p->width ? x0 + 1 : x0, y1 = y0 + 1 < p->height ? y0 + 1 : y0;
            const float fx = x - (float)x0, fy = y - (float)y0;
            const uint8_t *const row0 = p->rgb + (size_t)y0 * (size_t)p->width * 3;
            const uint8_t *const row1 = p->rgb + (size_t)y1 * (size_t)p->width * 3;
            for (int k = 0; k < 3; k++) {
                const float top = (float)row0[x0 * 3 + k] * (1 - fx) + (float)row0[x1 * 3 + k] * fx;
                const float low = (float)row1[x0 * 3 + k] * (1 - fx) + (float)row1[x1 * 3 + k] * fx;
                const int to = opt->bgr ? 2 - k : k;
                planes[(size_t)to * plane + (size_t)j * (size_t)stride + (size_t)i] =
                    (top * (1 - fy) + low * fy) * opt->scale + opt->shift;
            }
        }
    }
}

/* Drawing: see draw.h. Lines are discs along the line; text comes from FreeType as coverage and is
 * blended in. */
#include "vision/draw.h"

#include <math.h>

void draw_rectangle(Picture *p, int x, int y, int width, int height, Colour c)
{
    const int x1 = x + width < p->width ? x + width : p->width;
    const int y1 = y + height < p->height ? y + height : p->height;
    for (int j = y > 0 ? y : 0; j < y1; j++) {
        for (int i = x > 0 ? x : 0; i < x1; i++) {
            uint8_t *const at = p->rgb + ((size_t)j * (size_t)p->width + (size_t)i) * 3;
            at[0] = c.r;
            at[1] = c.g;
            at[2] = c.b;
        }
    }
}

void draw_fill(Picture *p, Colour c)
{
    draw_rectangle(p, 0, 0, p->width, p->height, c);
}

void draw_line(Picture *p, Point from, Point to, int thickness, Colour c)
{
    const float dx = to.x - from.x, dy = to.y - from.y;
    const float length = hypotf(dx, dy);
    if (!(length < 4 * PICTURE_MAX_SIDE)) /* also for NaN */
        return;
    const int steps = (int)(length * 2) + 1;
    for (int i = 0; i <= steps; i++) {
        const float t = (float)i / (float)steps;
        const float half = (float)thickness / 2;
        draw_rectangle(p, (int)lrintf(from.x + t * dx - half), (int)lrintf(from.y + t * dy - half),
                       thickness, thickness, c);
    }
}

void draw_quad(Picture *p, const Quad *q, int thickness, Colour c)
{
    for (int i = 0; i < 4; i++)
        draw_line(p, q->corner[i], q->corner[(i + 1) % 4], thickness, c);
}

uint32_t utf8_next(const char **text)
{
    const uint8_t *const s = (const uint8_t *)*text;
    if (s[0] == 0)
        return 0;
    const int n = s[0] < 0x80       ? 1
                  : s[0] >> 5 == 6  ? 2
                  : s[0] >> 4 == 14 ? 3
                  : s[0] >> 3 == 30 ? 4
                                    : 0;
    uint32_t c = n == 1 ? s[0] : n == 0 ? 0xfffd : s[0] & (0x7fu >> n);
    int used = 1;
    for (; used < n; used++) {
        if (s[used] >> 6 != 2) {
            c = 0xfffd;
            break;
        }
        c = c << 6 | (s[used] & 0x3f);
    }
    *text += used;
    return c;
}

#if HAVE_FREETYPE

#include <ft2build.h>
#include FT_FREETYPE_H

struct Font {
    FT_Library library;
    FT_Face face;
};

static void font_close(void *arg)
{
    Font *const f = arg;
    if (f->face)
        FT_Done_Face(f->face);
    FT_Done_FreeType(f->library);
}

int font_open(Arena *a, const char *path, Font **out, Error *e)
{
    Font *const f = arena_new_of(a, Font);
    if (FT_Init_FreeType(&f->library) != 0)
        return error_set(e, ERR_INTERNAL, "FreeType does not start");
    arena_defer(a, font_close, f);
    if (FT_New_Face(f->library, path, 0, &f->face) != 0)
        return error_set(e, ERR_IO, "%s: no font that FreeType reads", path);
    *out = f;
    return 0;
}

static void blend_glyph(Picture *p, const FT_GlyphSlot g, int x, int y, Colour c)
{
    for (int j = 0; j < (int)g->bitmap.rows; j++) {
        for (int i = 0; i < (int)g->bitmap.width; i++) {
            const int px = x + g->bitmap_left + i, py = y - g->bitmap_top + j;
            if (px < 0 || py < 0 || px >= p->width || py >= p->height)
                continue;
            const int cover = g->bitmap.buffer[j * g->bitmap.pitch + i];
            uint8_t *const at = p->rgb + ((size_t)py * (size_t)p->width + (size_t)px) * 3;
            at[0] = (uint8_t)((at[0] * (255 - cover) + c.r * cover + 127) / 255);
            at[1] = (uint8_t)((at[1] * (255 - cover) + c.g * cover + 127) / 255);
            at[2] = (uint8_t)((at[2] * (255 - cover) + c.b * cover + 127) / 255);
        }
    }
}

/* FreeType counts in 1/64 of a pixel, y upwards, and matrices in 1/65536. p NULL: only measures. */
static float put_text(Picture *p, Font *f, float size, Point at, float degrees, Colour c,
                      const char *text)
{
    const double angle = (double)degrees * 3.14159265358979323846 / 180;
    FT_Matrix turn = {
        .xx = (FT_Fixed)lrint(cos(angle) * 65536), .xy = (FT_Fixed)lrint(-sin(angle) * 65536),
        .yx = (FT_Fixed)lrint(sin(angle) * 65536), .yy = (FT_Fixed)lrint(cos(angle) * 65536),
    };
    if (FT_Set_Char_Size(f->face, 0, (FT_F26Dot6)lrintf(size * 64), 72, 72) != 0)
        return 0;
    const FT_Pos top = p ? (FT_Pos)p->height * 64 : 0;
    FT_Vector pen = {.x = (FT_Pos)lrintf(at.x * 64), .y = top - (FT_Pos)lrintf(at.y * 64)};
    const FT_Vector start = pen;
    for (uint32_t code; (code = utf8_next(&text)) != 0;) {
        FT_Vector part = {.x = pen.x & 63, .y = pen.y & 63};
        FT_Set_Transform(f->face, &turn, &part);
        if (FT_Load_Char(f->face, code, p ? FT_LOAD_RENDER : FT_LOAD_DEFAULT) != 0)
            continue;
        const FT_GlyphSlot g = f->face->glyph;
        if (p && g->bitmap.pixel_mode == FT_PIXEL_MODE_GRAY)
            blend_glyph(p, g, (int)(pen.x >> 6), (int)((top - (pen.y & ~(FT_Pos)63)) / 64), c);
        pen.x += g->advance.x;
        pen.y += g->advance.y;
    }
    return (float)hypot((double)(pen.x - start.x), (double)(pen.y - start.y)) / 64;
}

float draw_text(Picture *p, Font *f, float size, Point at, float degrees, Colour c,
                const char *text)
{
    return put_text(p, f, size, at, degrees, c, text);
}

float font_text_width(Font *f, float size, const char *text)
{
    return put_text(NULL, f, size, (Point){0, 0}, 0, (Colour){0, 0, 0}, text);
}

#else

int font_open(Arena *a, const char *path, Font **out, Error *e)
{
    (void)a, (void)out;
    return error_set(e, ERR_UNSUPPORTED, "%s: this build has no FreeType", path);
}

float draw_text(Picture *p, Font *f, float size, Point at, float degrees, Colour c,
                const char *text)
{
    (void)p, (void)f, (void)size, (void)at, (void)degrees, (void)c, (void)text;
    return 0;
}

float font_text_width(Font *f, float size, const char *text)
{
    (void)f, (void)size, (void)text;
    return 0;
}

#endif
